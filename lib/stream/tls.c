// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * TLS 1.3 by OpenSSL. Each side presents a certificate by the authority in its folder; the side
 * that connects checks that the other's is the host's.
 *
 * In TLS 1.3 the side that connects has finished its handshake before the other side has
 * checked its certificate. So the listener sends one byte when it accepts: until then there's
 * no channel, and a refusal is an error of connecting, not one of the first read.
 *
 * An SSL object can't be used by two threads at a time. A lock is held for each call on it, and
 * the socket is non-blocking: threads wait without the lock, in poll(). No session tickets are
 * sent, so that all data on the socket is for the reader.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel.h"
#include "lib/util/error.h"
#include "lib/util/quiet.h"
#include "tls.h"

#define CONTENT 0x44 /* the byte by which the listener accepts */

/**
 * struct dml_tls - the certificates of a side
 * @ctx: certificate, key and authority
 * @listens: whether this side listens; else it connects
 * @names: array of names, one of which a peer's certificate must have
 * @nnames: number of names; 0: any certificate by the authority is accepted
 */
struct dml_tls {
	SSL_CTX *ctx;
	bool listens;
	char **names;
	unsigned int nnames;
};

/**
 * struct tls_channel - a connection
 * @ssl: OpenSSL's state; protected by @lock
 * @fd: its socket
 * @limit: limit of the channel's operations
 * @listens: whether this side listens; else it connects
 * @shaken: whether TLS's handshake is done; the byte CONTENT follows
 * @lock: held for each call on @ssl
 */
struct tls_channel {
	SSL *ssl;
	int fd;
	const struct dml_limit *limit;
	bool listens;
	bool shaken;
	pthread_mutex_t lock;
};

/* The text of the oldest error in OpenSSL's queue */
static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());

	return text ? text : "no reason given";
}

static int load_error(const char *path)
{
	unsigned long e = ERR_peek_error();
	int err = ERR_SYSTEM_ERROR(e) ? ERR_GET_REASON(e) : EKEYREJECTED;

	return dml_error(-err, "%s: %s", path,
			 ERR_SYSTEM_ERROR(e) ? strerror(err) : reason());
}

static int load_authority(SSL_CTX *ctx, const char *path)
{
	return SSL_CTX_load_verify_file(ctx, path) == 1 ? 0 : load_error(path);
}

static int load_certificate(SSL_CTX *ctx, const char *path)
{
	return SSL_CTX_use_certificate_chain_file(ctx, path) == 1 ?
		       0 :
		       load_error(path);
}

/*
 * A certificate counts as not revoked if there's no list by its issuer, as in QEMU: the folder may
 * have a list by one authority of a chain only. An expired list is an error.
 */
static int accept_without_list(int ok, X509_STORE_CTX *ctx)
{
	if (ok || X509_STORE_CTX_get_error(ctx) != X509_V_ERR_UNABLE_TO_GET_CRL)
		return ok;
	X509_STORE_CTX_set_error(ctx, X509_V_OK);
	return 1;
}

/* Load the list of certificates that the authority has revoked. */
static int load_revoked(SSL_CTX *ctx, const char *path)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	if (!lookup)
		return dml_no_memory();
	if (X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) < 1)
		return load_error(path);
	X509_STORE_set_flags(store,
			     X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return 0;
}

/* Check the mode of the open file, so that it's the file that is read. */
static int load_key(SSL_CTX *ctx, const char *path)
{
	FILE *f = fopen(path, "re");
	EVP_PKEY *key;
	struct stat st;
	int ret = 0;

	if (!f || fstat(fileno(f), &st))
		ret = dml_error(-errno, "%s: %s", path, strerror(errno));
	else if (st.st_mode & 077)
		ret = dml_error(
			-EKEYREJECTED,
			"%s: its mode is %04o, so other users can use this key: it must be 0600",
			path, (unsigned int)st.st_mode & 07777);
	if (!ret) {
		key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
		if (!key || SSL_CTX_use_PrivateKey(ctx, key) != 1)
			ret = load_error(path);
		EVP_PKEY_free(key);
	}
	if (f)
		fclose(f);
	return ret;
}

typedef int load_fn(SSL_CTX *ctx, const char *path);

static int load(struct dml_tls *t, const char *folder, const char *name,
		load_fn *fn, bool needed)
{
	char *path;
	int ret;

	if (asprintf(&path, "%s/%s", folder, name) < 0)
		return dml_no_memory();
	ERR_clear_error();
	if (!access(path, R_OK))
		ret = fn(t->ctx, path);
	else if (errno == ENOENT && !needed)
		ret = 0;
	else
		ret = dml_error(-errno, "%s: %s", path, strerror(errno));
	free(path);
	return ret;
}

static int load_all(struct dml_tls *t, const char *folder)
{
	int ret = load(t, folder, "ca-cert.pem", load_authority, true);

	if (!ret)
		ret = load(t, folder, "ca-crl.pem", load_revoked, false);
	if (!ret)
		ret = load(t, folder,
			   t->listens ? "server-cert.pem" : "client-cert.pem",
			   load_certificate, true);
	if (!ret)
		ret = load(t, folder,
			   t->listens ? "server-key.pem" : "client-key.pem",
			   load_key, true);
	if (!ret && SSL_CTX_check_private_key(t->ctx) != 1)
		ret = dml_error(-EKEYREJECTED, "%s: key and certificate: %s",
				folder, reason());
	return ret;
}

/*
 * Return: whether @cert has @name. A name with a "=" is the subject, as "openssl x509 -subject
 * -nameopt RFC2253" prints it; else it's an alternative name: a host or an IP address
 */
static bool is_for(X509 *cert, const char *name)
{
	const unsigned int flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
				   X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
	char subject[1024] = "";
	BIO *bio;
	int n = 0;

	if (!strchr(name, '='))
		return X509_check_ip_asc(cert, name, 0) == 1 ||
		       X509_check_host(cert, name, 0, flags, NULL) == 1;
	bio = BIO_new(BIO_s_mem());
	if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0,
				      XN_FLAG_RFC2253) >= 0)
		n = BIO_read(bio, subject, sizeof(subject) - 1);
	BIO_free(bio);
	/* a subject that doesn't fit, or has a zero byte, never matches */
	return n > 0 && n < (int)sizeof(subject) - 1 &&
	       strlen(subject) == (size_t)n && !strcmp(subject, name);
}

/* Called by OpenSSL for each certificate of a chain; the last is the peer's own. */
static int check_name(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
		store, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct dml_tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	unsigned int i;

	if (!ok)
		return accept_without_list(ok, store);
	if (!t->nnames || X509_STORE_CTX_get_error_depth(store))
		return 1;
	for (i = 0; i < t->nnames; i++)
		if (is_for(X509_STORE_CTX_get_current_cert(store), t->names[i]))
			return 1;
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
	return 0;
}

static int copy_names(struct dml_tls *t, const char *const *names,
		      unsigned int n)
{
	t->names = n ? calloc(n, sizeof(*t->names)) : NULL;
	if (n && !t->names)
		return dml_no_memory();
	for (; t->nnames < n; t->nnames++) {
		t->names[t->nnames] = strdup(names[t->nnames]);
		if (!t->names[t->nnames])
			return dml_no_memory();
	}
	return 0;
}

int dml_tls_new(struct dml_tls **out, const char *folder, bool listens,
		const char *const *names, unsigned int nnames)
{
	struct dml_tls *t = calloc(1, sizeof(*t));
	int ret = -ENOMEM;

	if (!t)
		return ret;
	t->listens = listens;
	t->ctx = SSL_CTX_new(TLS_method());
	if (!t->ctx || !SSL_CTX_set_min_proto_version(t->ctx, TLS1_3_VERSION))
		goto fail;
	SSL_CTX_set_num_tickets(t->ctx, 0);
	SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_app_data(t->ctx, t);
	SSL_CTX_set_verify(t->ctx,
			   SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			   check_name);
	ret = copy_names(t, names, nnames);
	if (!ret)
		ret = load_all(t, folder);
	if (ret)
		goto fail;
	*out = t;
	return 0;
fail:
	dml_tls_free(t);
	return ret;
}

void dml_tls_free(struct dml_tls *t)
{
	if (!t)
		return;
	while (t->nnames)
		free(t->names[--t->nnames]);
	free(t->names);
	SSL_CTX_free(t->ctx);
	free(t);
}

/* Return: whether the other side sent an alert that refuses our certificate */
static bool refused_ours(int code)
{
	switch (code) {
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
		return true;
	}
	return false;
}

/* Set the text for a failed call on @ssl; under the lock. Return: -errno */
static int tls_error(SSL *ssl, int kind)
{
	int err = errno, code = ERR_GET_REASON(ERR_peek_error());
	long verified = SSL_get_verify_result(ssl);

	if (code == SSL_R_CERTIFICATE_VERIFY_FAILED &&
	    verified == X509_V_ERR_CERT_REJECTED)
		return dml_error(
			-EKEYREJECTED,
			"TLS: the other side's certificate has none of the names that are allowed");
	if (code == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return dml_error(-EKEYREJECTED,
				 "TLS: the other side's certificate: %s",
				 X509_verify_cert_error_string(verified));
	if (code == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		return dml_error(-EKEYREJECTED,
				 "TLS: the other side has no certificate");
	if (refused_ours(code))
		return dml_error(
			-EKEYREJECTED,
			"TLS: the other side refuses our certificate: %s",
			reason());
	if (code == SSL_R_WRONG_VERSION_NUMBER)
		return dml_error(
			-EPROTO,
			"TLS: the other side doesn't use it: both sides must use the same");
	if (code == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return dml_error(-ECONNRESET,
				 "TLS: the other side closed the connection");
	if (kind == SSL_ERROR_SYSCALL && err)
		return dml_error(-err, "TLS: %s", strerror(err));
	return dml_error(-EPROTO, "TLS: %s", reason());
}

enum what { SHAKE, READ, WRITE };

/* Make one call. Return: bytes; 0: at the end; -EAGAIN: wait for @events; -errno */
static ssize_t call_ssl(struct tls_channel *c, enum what what, void *buf,
			size_t size, short *events)
{
	ssize_t ret = -EAGAIN;
	struct dml_quiet quiet;
	int ok = 0, kind;
	size_t n = 1;

	pthread_mutex_lock(&c->lock);
	dml_quiet_begin(&quiet);
	ERR_clear_error();
	errno = 0;
	if (what == SHAKE)
		ok = SSL_do_handshake(c->ssl) == 1;
	else if (what == READ)
		ok = SSL_read_ex(c->ssl, buf, size, &n);
	else
		ok = SSL_write_ex(c->ssl, buf, size, &n);
	kind = ok ? SSL_ERROR_NONE : SSL_get_error(c->ssl, 0);
	if (ok)
		ret = n;
	else if (kind == SSL_ERROR_ZERO_RETURN)
		ret = 0;
	else if (kind == SSL_ERROR_WANT_READ)
		*events = POLLIN;
	else if (kind == SSL_ERROR_WANT_WRITE)
		*events = POLLOUT;
	else
		ret = tls_error(c->ssl, kind);
	ERR_clear_error();
	dml_quiet_end(&quiet);
	pthread_mutex_unlock(&c->lock);
	return ret;
}

static ssize_t call_until_done(struct tls_channel *c, enum what what, void *buf,
			       size_t size)
{
	uint64_t end = dml_limit_deadline(c->limit);
	short events = 0;
	ssize_t n;
	int ret;

	while ((n = call_ssl(c, what, buf, size, &events)) == -EAGAIN) {
		ret = dml_limit_wait(c->limit, c->fd, events, end);
		if (ret)
			return ret;
	}
	return n;
}

static ssize_t tls_read(void *opaque, void *buf, size_t size)
{
	return call_until_done(opaque, READ, buf, size);
}

static ssize_t tls_write(void *opaque, const void *buf, size_t size)
{
	return call_until_done(opaque, WRITE, (void *)buf, size);
}

static void tls_close(void *opaque)
{
	struct tls_channel *c = opaque;
	struct dml_quiet quiet;

	dml_quiet_begin(&quiet);
	if (c->ssl && SSL_is_init_finished(c->ssl))
		SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	ERR_clear_error();
	dml_quiet_end(&quiet);
	close(c->fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static const struct dmatrack_channel_ops tls_ops = {
	.size = sizeof(tls_ops),
	.read = tls_read,
	.write = tls_write,
	.close = tls_close,
};

static bool expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return true;
	ERR_clear_error();
	/* only the alternative names are compared, never the common name */
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
				       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return SSL_set1_host(ssl, host) == 1 &&
	       SSL_set_tlsext_host_name(ssl, host) == 1;
}

static bool set_up(struct tls_channel *c, struct dml_tls *t, const char *host)
{
	c->ssl = SSL_new(t->ctx);
	if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
		return false;
	if (t->listens)
		SSL_set_accept_state(c->ssl);
	else
		SSL_set_connect_state(c->ssl);
	return !host || expect_host(c->ssl, host);
}

/* The handshake, and the listener's byte CONTENT */
static int tls_step(void *opaque, short *events)
{
	struct tls_channel *c = opaque;
	unsigned char content = CONTENT;
	ssize_t n = 1;

	if (!c->shaken)
		n = call_ssl(c, SHAKE, NULL, 0, events);
	if (n > 0) {
		c->shaken = true;
		n = call_ssl(c, c->listens ? WRITE : READ, &content, 1, events);
	}
	if (n < 0)
		return (int)n;
	if (!n)
		return dml_error(-ECONNRESET,
				 "TLS: the other side closed the connection");
	return content == CONTENT ?
		       0 :
		       dml_error(
			       -EPROTO,
			       "TLS: the other side doesn't speak dmatrack's protocol");
}

static int tls_channel(void *opaque, struct dmatrack_channel **ch)
{
	struct tls_channel *c = opaque;
	int ret = dmatrack_channel_new(ch, &tls_ops, c);

	if (!ret)
		c->limit = &(*ch)->limit;
	return ret;
}

static const struct dml_shake_ops shake_ops = {
	.step = tls_step,
	.channel = tls_channel,
	.drop = tls_close,
};

int dml_tls_shake(struct dml_tls *t, struct dml_shake *s, int fd,
		  const char *host)
{
	struct tls_channel *c = calloc(1, sizeof(*c));

	if (!c)
		return dml_no_memory();
	c->fd = fd;
	c->listens = t->listens;
	if (!set_up(c, t, host)) {
		SSL_free(c->ssl);
		free(c);
		return dml_error(-ENOMEM, "TLS: %s", reason());
	}
	pthread_mutex_init(&c->lock, NULL);
	*s = (struct dml_shake){ .ops = &shake_ops,
				 .state = c,
				 .fd = fd,
				 .proof = DML_SHAKE_TLS,
				 .listens = t->listens };
	return 0;
}
