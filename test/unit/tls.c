// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* TLS: peers that may connect, and the errors on both sides for those that may not. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "dmatrack_copy.h"
#include "lib/stream/channel.h"
#include "test/scratch.h"
#include "test/tap.h"

/* Certificates: an authority, and the certificates that it signs */

struct identity {
	EVP_PKEY *key;
	X509 *cert;
};

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
}

/* @by: the issuer; NULL: make an authority, self-signed. @from, @until: seconds from now */
static struct identity issue(const struct identity *by, const char *name,
			     const char *san, long from, long until)
{
	static long serial = 1;
	struct identity id = { .key = EVP_EC_gen("P-256"), .cert = X509_new() };
	X509_NAME *subject = X509_get_subject_name(id.cert);

	X509_set_version(id.cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(id.cert), from);
	X509_gmtime_adj(X509_getm_notAfter(id.cert), until);
	X509_set_pubkey(id.cert, id.key);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(id.cert,
			     by ? X509_get_subject_name(by->cert) : subject);
	extend(id.cert, by ? by->cert : id.cert, NID_basic_constraints,
	       by ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (san)
		extend(id.cert, by->cert, NID_subject_alt_name, san);
	X509_sign(id.cert, by ? by->key : id.key, EVP_sha256());
	return id;
}

static void put_cert(const char *folder, const char *file, X509 *cert)
{
	char path[400];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	f = fopen(path, "w");
	PEM_write_X509(f, cert);
	fclose(f);
}

static void put_key(const char *folder, const char *file, EVP_PKEY *key)
{
	char path[400];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	f = fopen(path, "w");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fchmod(fileno(f), 0600);
	fclose(f);
}

/* @by's revocation list, with @cert unless NULL, valid for @until more seconds */
static void put_list(const char *folder, const struct identity *by, X509 *cert,
		     long until)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *last = X509_gmtime_adj(NULL, -2 * 86400);
	ASN1_TIME *next = X509_gmtime_adj(NULL, until);
	X509_REVOKED *revoked = X509_REVOKED_new();
	char path[500];
	FILE *f;

	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(by->cert));
	X509_CRL_set1_lastUpdate(crl, last);
	X509_CRL_set1_nextUpdate(crl, next);
	if (cert) {
		X509_REVOKED_set_serialNumber(revoked,
					      X509_get_serialNumber(cert));
		X509_REVOKED_set_revocationDate(revoked, last);
		X509_CRL_add0_revoked(crl, X509_REVOKED_dup(revoked));
	}
	X509_CRL_sort(crl);
	X509_CRL_sign(crl, by->key, EVP_sha256());
	snprintf(path, sizeof(path), "%s/ca-crl.pem", folder);
	f = fopen(path, "w");
	PEM_write_X509_CRL(f, crl);
	fclose(f);
	X509_REVOKED_free(revoked);
	ASN1_TIME_free(last);
	ASN1_TIME_free(next);
	X509_CRL_free(crl);
}

static X509 *read_cert(const char *folder, const char *file)
{
	char path[500];
	X509 *cert;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	f = fopen(path, "r");
	cert = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	return cert;
}

static void free_identity(struct identity id)
{
	EVP_PKEY_free(id.key);
	X509_free(id.cert);
}

/* Make one side's folder: the authority that it trusts, and its own certificates. */
static const char *folder(const char *name, const struct identity *trusts,
			  const struct identity *by, const char *san, long from,
			  long until)
{
	const char *path = scratch_path(name);
	struct identity server = issue(by, "server", san, from, until);
	struct identity client = issue(by, "client", NULL, from, until);

	mkdir(path, 0700);
	put_cert(path, "ca-cert.pem", trusts->cert);
	put_cert(path, "server-cert.pem", server.cert);
	put_key(path, "server-key.pem", server.key);
	put_cert(path, "client-cert.pem", client.cert);
	put_key(path, "client-key.pem", client.key);
	free_identity(server);
	free_identity(client);
	return path;
}

static struct identity ours, theirs;
static char good[400], other[400], expired[400], wrong_host[400];

#define DAY 86400L

static void make_folders(void)
{
	ours = issue(NULL, "ours", NULL, -DAY, DAY);
	theirs = issue(NULL, "theirs", NULL, -DAY, DAY);
	strcpy(good, folder("good", &ours, &ours, "IP:127.0.0.1,DNS:localhost",
			    -DAY, DAY));
	/* trusts our authority, but its certificates are another one's */
	strcpy(other,
	       folder("other", &ours, &theirs, "IP:127.0.0.1", -DAY, DAY));
	strcpy(expired,
	       folder("expired", &ours, &ours, "IP:127.0.0.1", -2 * DAY, -DAY));
	strcpy(wrong_host,
	       folder("wrong", &ours, &ours, "DNS:elsewhere", -DAY, DAY));
}

/* One connection, from both sides */
struct meeting {
	struct dmatrack_listener *l;
	struct dmatrack_channel *ch;
	struct dmatrack_cancel *cancel;
	int error;
	char text[300];
};

/* End the accept at the first refusal. */
static void turned_away(void *opaque, int error)
{
	struct meeting *m = opaque;

	m->error = error;
	snprintf(m->text, sizeof(m->text), "%s", dmatrack_error());
	dmatrack_cancel_set(m->cancel);
}

/* Accept until a peer is connected or refused. */
static void *accepting(void *opaque)
{
	struct meeting *m = opaque;
	int ret;

	m->error = 0;
	ret = dmatrack_accept(m->l, &m->ch, 10000);
	if (ret != -ECANCELED)
		m->error = ret;
	return NULL;
}

static struct meeting client, server;

static void begin_meeting(const char *at, struct dmatrack_peer peer)
{
	CHECK_EQ(dmatrack_cancel_create(&server.cancel), 0);
	peer.size = sizeof(peer);
	peer.cancel = server.cancel;
	peer.opaque = &server;
	peer.turned_away = turned_away;
	CHECK_EQ(dmatrack_peer_listen(&server.l, at, &peer), 0);
}

static void end_meeting(void)
{
	dmatrack_listener_close(server.l);
	if (server.ch) /* the channel outlives its cancel */
		server.ch->limit.cancel = NULL;
	dmatrack_cancel_destroy(server.cancel);
}

static void meet_as(const char *at, struct dmatrack_peer there,
		    struct dmatrack_peer here)
{
	char address[100];
	pthread_t thread;

	client.ch = server.ch = NULL;
	begin_meeting(at, there);
	snprintf(address, sizeof(address), "%s",
		 dmatrack_listener_address(server.l));
	CHECK_EQ(pthread_create(&thread, NULL, accepting, &server), 0);
	here.size = sizeof(here);
	client.error = dmatrack_peer_connect(&client.ch, address, &here);
	snprintf(client.text, sizeof(client.text), "%s", dmatrack_error());
	/* a client without TLS has no handshake: send something */
	if (!client.error && !here.tls) {
		dml_channel_write(client.ch, "hello, this is no TLS", 21);
		dmatrack_channel_close(client.ch);
		client.ch = NULL;
	}
	pthread_join(thread, NULL);
	end_meeting();
}

static void meet(const char *at, const char *server_tls, const char *client_tls)
{
	meet_as(at, (struct dmatrack_peer){ .tls = server_tls },
		(struct dmatrack_peer){
			.tls = client_tls,
			.flags = client_tls ? 0 : DMATRACK_PEER_INSECURE });
}

static void part(void)
{
	if (client.error == 0)
		dmatrack_channel_close(client.ch);
	if (server.error == 0)
		dmatrack_channel_close(server.ch);
}

#define MUCH (2 << 20)

static void *write_much(void *opaque)
{
	char *data = malloc(MUCH);

	memset(data, 0x5a, MUCH);
	if (dml_channel_write(opaque, data, MUCH))
		opaque = NULL;
	free(data);
	return opaque;
}

static bool read_much(struct dmatrack_channel *ch)
{
	char buf[10000];
	ssize_t n;
	int left;

	for (left = MUCH; left > 0; left -= n) {
		n = dml_channel_read(ch, buf, sizeof(buf));
		if (n <= 0 || buf[n - 1] != 0x5a)
			return false;
	}
	return true;
}

static void *read_much_thread(void *opaque)
{
	return read_much(opaque) ? opaque : NULL;
}

/* Both ways at the same time: four threads on two channels */
static void check_traffic(void)
{
	pthread_t threads[3];
	void *ok[3];
	bool mine;
	int i;

	CHECK_EQ(client.error, 0);
	CHECK_EQ(server.error, 0);
	pthread_create(&threads[0], NULL, write_much, client.ch);
	pthread_create(&threads[1], NULL, write_much, server.ch);
	pthread_create(&threads[2], NULL, read_much_thread, client.ch);
	mine = read_much(server.ch);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], &ok[i]);
	CHECK(mine && ok[0] && ok[1] && ok[2]);
}

static void test_good(void)
{
	char c;

	meet("tcp:127.0.0.1:0", good, good);
	check_traffic();
	dmatrack_channel_close(client.ch);
	CHECK_EQ(dml_channel_read(server.ch, &c, 1), -ECONNRESET);
	dmatrack_channel_close(server.ch);
	meet("tcp:localhost:0", good, good);
	check_traffic();
	part();
}

static void test_wrong_authority(void)
{
	meet("tcp:127.0.0.1:0", other, good);
	CHECK_EQ(client.error, -EKEYREJECTED);
	CHECK(strstr(client.text, "the other side's certificate"));
	CHECK_EQ(server.error, -EKEYREJECTED);
	CHECK(strstr(server.text, "refuses our certificate"));
	meet("tcp:127.0.0.1:0", good, other);
	CHECK_EQ(client.error, -EKEYREJECTED);
	CHECK(strstr(client.text, "refuses our certificate"));
	CHECK_EQ(server.error, -EKEYREJECTED);
	CHECK(strstr(server.text, "the other side's certificate"));
}

static void test_expired(void)
{
	meet("tcp:127.0.0.1:0", expired, good);
	CHECK_EQ(client.error, -EKEYREJECTED);
	CHECK(strstr(client.text, "expired"));
	meet("tcp:127.0.0.1:0", good, expired);
	CHECK_EQ(client.error, -EKEYREJECTED);
	CHECK_EQ(server.error, -EKEYREJECTED);
	CHECK(strstr(server.text, "expired"));
}

static void test_wrong_host(void)
{
	meet("tcp:127.0.0.1:0", wrong_host, good);
	CHECK_EQ(client.error, -EKEYREJECTED);
	CHECK(strstr(client.text, "IP address mismatch"));
	meet("tcp:localhost:0", wrong_host, good);
	CHECK_EQ(client.error, -EKEYREJECTED);
	CHECK(strstr(client.text, "ostname mismatch"));
}

/* Revocation lists, on either side */
static void test_revoked(void)
{
	const char *listed =
		folder("listed", &ours, &ours, "IP:127.0.0.1", -DAY, DAY);
	X509 *cert = read_cert(good, "server-cert.pem");

	put_list(listed, &ours, NULL, DAY);
	meet("tcp:127.0.0.1:0", good, listed);
	CHECK_EQ(client.error, 0);
	part();
	put_list(listed, &ours, cert, DAY);
	X509_free(cert);
	meet("tcp:127.0.0.1:0", good, listed);
	CHECK_EQ(client.error, -EKEYREJECTED);
	CHECK(strstr(client.text, "certificate revoked"));
	CHECK_EQ(server.error, -EKEYREJECTED);
	CHECK(strstr(server.text, "refuses our certificate"));
	cert = read_cert(good, "client-cert.pem");
	put_list(listed, &ours, cert, DAY);
	X509_free(cert);
	meet("tcp:127.0.0.1:0", listed, good);
	CHECK_EQ(client.error, -EKEYREJECTED);
	CHECK_EQ(server.error, -EKEYREJECTED);
	CHECK(strstr(server.text, "certificate revoked"));
	/* an expired list is refused; one of another authority doesn't apply */
	put_list(listed, &ours, NULL, -DAY);
	meet("tcp:127.0.0.1:0", listed, good);
	CHECK_EQ(server.error, -EKEYREJECTED);
	CHECK(strstr(server.text, "CRL has expired"));
	put_list(listed, &theirs, NULL, DAY);
	meet("tcp:127.0.0.1:0", listed, good);
	CHECK_EQ(server.error, 0);
	part();
}

static void test_bad_list(void)
{
	const char *listed = scratch_path("listed");
	struct dmatrack_listener *l;
	char command[400];

	snprintf(command, sizeof(command), "echo nonsense >'%s/ca-crl.pem'",
		 listed);
	CHECK_EQ(system(command), 0);
	CHECK_EQ(dmatrack_listen(&l, "tcp:127.0.0.1:0", listed), -EKEYREJECTED);
	CHECK(strstr(dmatrack_error(), "listed/ca-crl.pem"));
}

/* A certificate's alternative names decide, not its common name. */
static void test_common_name(void)
{
	const char *named = scratch_path("named");
	struct identity server_id = issue(&ours, "localhost", NULL, -DAY, DAY);

	folder("named", &ours, &ours, NULL, -DAY, DAY);
	put_cert(named, "server-cert.pem", server_id.cert);
	put_key(named, "server-key.pem", server_id.key);
	free_identity(server_id);
	meet("tcp:localhost:0", named, good);
	CHECK_EQ(client.error, -EKEYREJECTED);
	CHECK(strstr(client.text, "ostname mismatch"));
}

static void test_readable_key(void)
{
	const char *open =
		folder("open", &ours, &ours, "IP:127.0.0.1", -DAY, DAY);
	static const mode_t modes[] = { 0640, 0604, 0620, 0601 };
	struct dmatrack_listener *l;
	char path[500], mode[16];
	unsigned int i;

	snprintf(path, sizeof(path), "%s/server-key.pem", open);
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		CHECK_EQ(chmod(path, modes[i]), 0);
		CHECK_EQ(dmatrack_listen(&l, "tcp:127.0.0.1:0", open),
			 -EKEYREJECTED);
		snprintf(mode, sizeof(mode), "%04o", modes[i]);
		CHECK(strstr(dmatrack_error(), "open/server-key.pem"));
		CHECK(strstr(dmatrack_error(), mode));
	}
	CHECK_EQ(chmod(path, 0400), 0);
	CHECK_EQ(dmatrack_listen(&l, "tcp:127.0.0.1:0", open), 0);
	dmatrack_listener_close(l);
}

static void test_folders(void)
{
	const char *none = scratch_path("none"), *mixed = scratch_path("mixed");
	struct dmatrack_listener *l;
	struct dmatrack_channel *ch;
	char command[1000];

	CHECK_EQ(dmatrack_listen(&l, "tcp:127.0.0.1:0", none), -ENOENT);
	CHECK_EQ(dmatrack_connect(&ch, "tcp:127.0.0.1:9", none), -ENOENT);
	CHECK(strstr(dmatrack_error(), "none/ca-cert.pem"));
	/* a key of another certificate */
	snprintf(
		command, sizeof(command),
		"cp -r '%s' '%s' && cp '%s/server-key.pem' '%s/client-key.pem'",
		good, mixed, good, mixed);
	CHECK_EQ(system(command), 0);
	CHECK_EQ(dmatrack_connect(&ch, "tcp:127.0.0.1:9", mixed),
		 -EKEYREJECTED);
	snprintf(command, sizeof(command), "echo nonsense >'%s/ca-cert.pem'",
		 mixed);
	CHECK_EQ(system(command), 0);
	CHECK_EQ(dmatrack_connect(&ch, "tcp:127.0.0.1:9", mixed),
		 -EKEYREJECTED);
	CHECK(strstr(dmatrack_error(), "mixed/ca-cert.pem"));
	snprintf(command, sizeof(command),
		 "rm '%s/client-cert.pem'; cp '%s/ca-cert.pem' '%s'", mixed,
		 good, mixed);
	CHECK_EQ(system(command), 0);
	CHECK_EQ(dmatrack_connect(&ch, "tcp:127.0.0.1:9", mixed), -ENOENT);
}

/* A client without a certificate: OpenSSL's own */
static void test_no_certificate(void)
{
	char command[300];
	pthread_t thread;
	int ret;

	begin_meeting("tcp:127.0.0.1:0", (struct dmatrack_peer){ .tls = good });
	CHECK_EQ(pthread_create(&thread, NULL, accepting, &server), 0);
	snprintf(command, sizeof(command),
		 "openssl s_client -connect %s </dev/null >/dev/null 2>&1",
		 dmatrack_listener_address(server.l) + 4);
	ret = system(command);
	pthread_join(thread, NULL);
	end_meeting();
	CHECK(ret != -1);
	CHECK_EQ(server.error, -EKEYREJECTED);
	CHECK(strstr(server.text, "no certificate"));
}

static const struct dmatrack_peer insecure = {
	.size = sizeof(insecure),
	.flags = DMATRACK_PEER_INSECURE,
};

/* Write what a sender without TLS begins with, and read the listener's answer. */
static void greet_plainly(const char *address, char answer[16])
{
	struct dmatrack_channel *ch;
	size_t n = 0;
	ssize_t got;

	CHECK_EQ(dmatrack_peer_connect(&ch, address, &insecure), 0);
	CHECK_EQ(dml_channel_write(ch, "DMTwire\0\2\0\0\0hash", 16), 0);
	while ((got = dml_channel_read(ch, answer + n, 16 - n)) > 0)
		n += got;
	CHECK_EQ(n, 16);
	dmatrack_channel_close(ch);
}

static void test_plain(void)
{
	char answer[16];
	pthread_t thread;

	meet("tcp:127.0.0.1:0", good, NULL);
	CHECK_EQ(server.error, -EPROTO);
	CHECK(strstr(server.text,
		     "doesn't use it: both sides must use the same"));

	meet_as("tcp:127.0.0.1:0", insecure,
		(struct dmatrack_peer){ .tls = good });
	CHECK_EQ(client.error, -EPROTO);
	CHECK(strstr(client.text, "both sides must use the same"));
	CHECK_EQ(server.error, -EPROTO);
	CHECK(strstr(server.text, "uses TLS, this side neither"));

	begin_meeting("tcp:127.0.0.1:0", (struct dmatrack_peer){ .tls = good });
	CHECK_EQ(pthread_create(&thread, NULL, accepting, &server), 0);
	greet_plainly(dmatrack_listener_address(server.l), answer);
	pthread_join(thread, NULL);
	end_meeting();
	CHECK(!memcmp(answer, "DMTtls\0\0\0\0\0\0\0\0\0", 16));
	CHECK_EQ(server.error, -EPROTO);
	CHECK(strstr(server.text,
		     "uses neither TLS nor a secret, this side TLS"));
}

/* A copy, from memory to an image, over TLS */
static char address[100];

static int copy_connect(void *opaque, unsigned int attempt, int why,
			struct dmatrack_channel **ch)
{
	return attempt ? why : dmatrack_connect(ch, address, good);
}

static int copy_accept(void *opaque, unsigned int attempt, int why,
		       struct dmatrack_channel **ch)
{
	return dmatrack_accept(opaque, ch, 10000);
}

static void *copy_receive(void *opaque)
{
	struct dmatrack_receiver r = {
		.size = sizeof(r),
		.accept = copy_accept,
		.opaque = opaque,
	};
	int ret = dmatrack_image_create(&r.dest, scratch_path("image"), 0);

	if (!ret) {
		ret = dmatrack_receive(&r, NULL);
		r.dest->ops->close(r.dest);
	}
	return ret ? opaque : NULL;
}

static int copy_all(struct dmatrack_dest *d, struct dmatrack_region *region)
{
	int i, ret = d->ops->begin(d, region, 1, 4096);

	for (i = 0; !ret && i < 20; i++) {
		ret = d->ops->write(d, i << 20,
				    (char *)region->vaddr + (i << 20), 1 << 20);
		if (!ret && i == 10)
			ret = d->ops->round(d);
	}
	return ret ? ret : d->ops->finish(d);
}

static void test_copy(void)
{
	struct dmatrack_sender how = {
		.size = sizeof(how),
		.connect = copy_connect,
		.flags = DMATRACK_ZSTD | DMATRACK_CHECK,
	};
	struct dmatrack_region region = { .size = 20 << 20 };
	struct dmatrack_listener *l;
	struct dmatrack_image *m;
	struct dmatrack_dest *d;
	uint8_t want[16], got[16];
	pthread_t thread;
	void *failed;
	int i;

	region.vaddr = malloc(region.size);
	for (i = 0; i < 20 << 20; i++)
		((char *)region.vaddr)[i] = (char)(i * 3 + i / 4096);
	CHECK_EQ(dmatrack_listen(&l, "tcp:127.0.0.1:0", good), 0);
	snprintf(address, sizeof(address), "%s", dmatrack_listener_address(l));
	CHECK_EQ(pthread_create(&thread, NULL, copy_receive, l), 0);
	CHECK_EQ(dmatrack_sender_create(&d, &how), 0);
	CHECK_EQ(copy_all(d, &region), 0);
	d->ops->close(d);
	pthread_join(thread, &failed);
	CHECK(!failed);
	CHECK_EQ(dmatrack_digest(&region, 1, want), 0);
	CHECK_EQ(dmatrack_image_open(&m, scratch_path("image")), 0);
	CHECK_EQ(dmatrack_image_digest(m, got, NULL, NULL), 0);
	dmatrack_image_close(m);
	CHECK(!memcmp(want, got, 16));
	dmatrack_listener_close(l);
	free(region.vaddr);
}

/* A client that sends nothing is disconnected after a while. */
static void test_silent(void)
{
	struct dmatrack_channel *silent;

	begin_meeting("tcp:127.0.0.1:0",
		      (struct dmatrack_peer){ .tls = good,
					      .handshake_timeout = 50 });
	CHECK_EQ(dmatrack_peer_connect(&silent,
				       dmatrack_listener_address(server.l),
				       &insecure),
		 0);
	CHECK_EQ(dmatrack_accept(server.l, &server.ch, 0), -ETIMEDOUT);
	accepting(&server);
	CHECK_EQ(server.error, -ETIMEDOUT);
	CHECK(strstr(server.text, "does not complete the handshake"));
	dmatrack_channel_close(silent);
	server.ch = NULL;
	end_meeting();
}

/* Names ------------------------------------------------------------------------- */

static struct dmatrack_peer allowing(const char *const *names)
{
	struct dmatrack_peer peer = { .tls = good, .names = names };

	while (names && names[peer.nnames])
		peer.nnames++;
	return peer;
}

static void check_names(const char *const *there, const char *const *here,
			int server_error, int client_error)
{
	meet_as("tcp:127.0.0.1:0", allowing(there), allowing(here));
	CHECK_EQ(server.error, server_error);
	CHECK_EQ(client.error, client_error);
	if (!server_error)
		part();
}

static void test_names(void)
{
	static const char *const host[] = { "elsewhere", "127.0.0.1", NULL },
				 *const dns[] = { "localhost", NULL },
				 *const subject[] = { "x", "CN=client", NULL },
				 *const wrong[] = { "elsewhere", "CN=other",
						    "CN=", "127.0.0.2", NULL },
				 *const common[] = { "client", "server", NULL };

	check_names(NULL, host, 0, 0);
	check_names(subject, dns, 0, 0);
	check_names(wrong, host, -EKEYREJECTED, -EKEYREJECTED);
	CHECK(strstr(server.text, "none of the names that are allowed"));
	CHECK(strstr(client.text, "refuses our certificate"));
	check_names(subject, wrong, -EKEYREJECTED, -EKEYREJECTED);
	CHECK(strstr(client.text, "none of the names that are allowed"));
	/* the common name alone doesn't count */
	check_names(common, host, -EKEYREJECTED, -EKEYREJECTED);
	check_names(subject, common, -EKEYREJECTED, -EKEYREJECTED);
}

int main(void)
{
	scratch_make(NULL);
	make_folders();
	TEST(test_good, "both sides have certificates by the authority");
	TEST(test_wrong_authority,
	     "a certificate of another authority, on either side");
	TEST(test_expired, "a certificate that has expired");
	TEST(test_wrong_host, "a certificate of another host");
	TEST(test_revoked, "certificates that were revoked");
	TEST(test_bad_list, "an invalid list of revoked certificates");
	TEST(test_common_name, "a host's name only as the common name");
	TEST(test_readable_key, "private keys that others can use");
	TEST(test_no_certificate, "no certificate");
	TEST(test_folders, "files that are missing or invalid");
	TEST(test_plain, "only one side uses TLS");
	TEST(test_copy, "a copy, compressed and compared");
	TEST(test_silent, "a peer that sends nothing");
	TEST(test_names, "names of certificates that are allowed");
	free_identity(ours);
	free_identity(theirs);
	return tap_done();
}
