// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Proofs that both sides know a secret: see secret.h. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/util/error.h"
#include "secret.h"

#define MAGIC "DMTproof"
#define NONCE 32
#define PROOF 32

struct dml_secret {
	size_t size;
	unsigned char bytes[DML_SECRET_MAX];
};

/* Open a regular file that only its owner can access. Return: a descriptor or -errno */
static int open_private(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return dml_error(-errno, "%s: %s", path, strerror(errno));
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && !(st.st_mode & 077))
		return fd;
	close(fd);
	return dml_error(
		-EKEYREJECTED,
		"%s: its mode is %04o: a secret must be in a regular file that only its owner can access, mode 0600",
		path, (unsigned int)st.st_mode & 07777);
}

static int read_all(struct dml_secret *s, int fd, const char *path)
{
	unsigned char buf[DML_SECRET_MAX + 2];
	size_t n = 0;
	ssize_t got;

	while ((got = read(fd, buf + n, sizeof(buf) - n)) > 0)
		n += (size_t)got;
	if (got < 0)
		return dml_error(-errno, "%s: %s", path, strerror(errno));
	if (n && buf[n - 1] == '\n')
		n--;
	if (n < DML_SECRET_MIN || n > DML_SECRET_MAX)
		got = dml_error(-EKEYREJECTED,
				"%s: a secret must have %d to %d bytes", path,
				DML_SECRET_MIN, DML_SECRET_MAX);
	else
		memcpy(s->bytes, buf, s->size = n);
	OPENSSL_cleanse(buf, sizeof(buf));
	return (int)got;
}

int dml_secret_new(struct dml_secret **out, const char *path)
{
	int ret, fd = open_private(path);
	struct dml_secret *s;

	if (fd < 0)
		return fd;
	s = calloc(1, sizeof(*s));
	ret = s ? read_all(s, fd, path) : -ENOMEM;
	close(fd);
	if (ret) {
		dml_secret_free(s);
		return ret;
	}
	*out = s;
	return 0;
}

void dml_secret_free(struct dml_secret *s)
{
	if (s)
		OPENSSL_cleanse(s, sizeof(*s));
	free(s);
}

/* The data that a proof is computed of; no padding */
struct claim {
	char side[8];
	unsigned char nonce[2][NONCE];
	struct {
		unsigned char address[16];
		unsigned char port[2];
	} end[2];
};
_Static_assert(sizeof(struct claim) == 8 + 2 * NONCE + 2 * 18, "no padding");

struct opening {
	char magic[8];
	unsigned char nonce[NONCE];
};

/**
 * struct proof - a handshake
 * @secret: a copy of the secret
 * @fd: the socket
 * @listens: whether this side listens; else it connects
 * @stage: number of messages sent or received, 0 to 4
 * @done: bytes sent or received of the next message
 * @claim: data of the proofs; its @side is set for each
 * @buf: the next message
 */
struct proof {
	struct dml_secret secret;
	int fd;
	bool listens;
	unsigned int stage;
	size_t done;
	struct claim claim;
	unsigned char buf[sizeof(struct opening)];
};

static int name_end(struct claim *c, unsigned int which,
		    const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *in = (const void *)ss;
	const struct sockaddr_in6 *in6 = (const void *)ss;
	unsigned char *address = c->end[which].address;

	if (ss->ss_family == AF_INET) { /* as an IPv4-mapped IPv6 address */
		memset(address + 10, 0xff, 2);
		memcpy(address + 12, &in->sin_addr, 4);
		memcpy(c->end[which].port, &in->sin_port, 2);
		return 0;
	}
	if (ss->ss_family != AF_INET6)
		return -EAFNOSUPPORT;
	memcpy(address, &in6->sin6_addr, 16);
	memcpy(c->end[which].port, &in6->sin6_port, 2);
	return 0;
}

static int name_connection(struct proof *p)
{
	struct sockaddr_storage here = { 0 }, there = { 0 };
	socklen_t size = sizeof(here);
	int ret;

	if (getsockname(p->fd, (void *)&here, &size))
		return -errno;
	size = sizeof(there);
	if (getpeername(p->fd, (void *)&there, &size))
		return -errno;
	ret = name_end(&p->claim, p->listens, &here);
	return ret ? ret : name_end(&p->claim, !p->listens, &there);
}

static int prove(struct proof *p, bool listens, unsigned char proof[PROOF])
{
	unsigned int size = PROOF;

	memcpy(p->claim.side, listens ? "listens " : "connects", 8);
	return HMAC(EVP_sha256(), p->secret.bytes, (int)p->secret.size,
		    (const unsigned char *)&p->claim, sizeof(p->claim), proof,
		    &size) ?
		       0 :
		       -EIO;
}

static size_t message_size(const struct proof *p)
{
	return p->stage < 2 ? sizeof(struct opening) : PROOF;
}

/* The connecting side sends messages 0 and 2. */
static bool is_ours(const struct proof *p)
{
	return (p->stage % 2 == 1) == p->listens;
}

static int make_message(struct proof *p)
{
	struct opening *o = (void *)p->buf;

	if (p->stage >= 2)
		return prove(p, p->listens, p->buf);
	memcpy(o->magic, MAGIC, sizeof(o->magic));
	memcpy(o->nonce, p->claim.nonce[p->listens], NONCE);
	return 0;
}

/* Check the magic as soon as it's there: a peer without a secret may send nothing more. */
static int check_magic(const struct proof *p)
{
	int ret;

	if (p->stage >= 2 || p->done < 8 || !memcmp(p->buf, MAGIC, 8))
		return 0;
	ret = dml_shake_compare(DML_SHAKE_SECRET, p->buf);
	return ret ? ret :
		     dml_error(
			     -EPROTO,
			     "the other side doesn't use a secret: give it the same one");
}

static int check_proof(struct proof *p)
{
	static const unsigned char zeros[PROOF];
	unsigned char want[PROOF];
	int ret = prove(p, !p->listens, want);

	if (ret || !CRYPTO_memcmp(want, p->buf, PROOF))
		return ret;
	if (p->listens) /* so that the peer doesn't take this for a broken connection */
		send(p->fd, zeros, sizeof(zeros), MSG_DONTWAIT | MSG_NOSIGNAL);
	return dml_error(
		-EKEYREJECTED, "%s",
		!p->listens && !CRYPTO_memcmp(zeros, p->buf, PROOF) ?
			"the other side refuses: its secret is another one, or a third process relays the connection" :
			"the other side doesn't know the secret, or a third process relays the connection");
}

static int take_message(struct proof *p)
{
	const struct opening *o = (void *)p->buf;

	if (p->stage >= 2)
		return check_proof(p);
	memcpy(p->claim.nonce[!p->listens], o->nonce, NONCE);
	return 0;
}

/* Send or receive a part of a message. Return: 0, -EAGAIN, -errno */
static int move_some(struct proof *p, short *events)
{
	unsigned char *at = p->buf + p->done;
	size_t left = message_size(p) - p->done;
	bool ours = is_ours(p);
	ssize_t n;

	n = ours ? send(p->fd, at, left, MSG_DONTWAIT | MSG_NOSIGNAL) :
		   recv(p->fd, at, left, MSG_DONTWAIT);
	*events = ours ? POLLOUT : POLLIN;
	if (n > 0)
		p->done += (size_t)n;
	else if (!n)
		return dml_error(-ECONNRESET,
				 "the other side closed the connection");
	else if (errno == EAGAIN || errno == EWOULDBLOCK)
		return -EAGAIN;
	else if (errno != EINTR)
		return dml_error(-errno, "channel: %s", strerror(errno));
	return ours ? 0 : check_magic(p);
}

static int proof_step(void *opaque, short *events)
{
	struct proof *p = opaque;
	int ret = 0;

	while (!ret && p->stage < 4) {
		if (!p->done && is_ours(p))
			ret = make_message(p);
		if (!ret)
			ret = move_some(p, events);
		if (ret || p->done < message_size(p))
			continue;
		if (!is_ours(p))
			ret = take_message(p);
		p->stage++;
		p->done = 0;
	}
	return ret;
}

static void free_proof(struct proof *p)
{
	OPENSSL_cleanse(p, sizeof(*p));
	free(p);
}

static int proof_channel(void *opaque, struct dmatrack_channel **ch)
{
	struct proof *p = opaque;
	int ret = dml_channel_socket(ch, p->fd, NULL);

	if (!ret)
		free_proof(p);
	return ret;
}

static void proof_drop(void *opaque)
{
	struct proof *p = opaque;

	close(p->fd);
	free_proof(p);
}

static const struct dml_shake_ops proof_ops = {
	.step = proof_step,
	.channel = proof_channel,
	.drop = proof_drop,
};

int dml_secret_shake(const struct dml_secret *s, struct dml_shake *shake,
		     int fd, bool listens)
{
	struct proof *p = calloc(1, sizeof(*p));
	int ret;

	if (!p)
		return dml_no_memory();
	p->secret = *s;
	p->fd = fd;
	p->listens = listens;
	ret = name_connection(p);
	if (!ret && getrandom(p->claim.nonce[listens], NONCE, 0) != NONCE)
		ret = -EIO;
	if (ret) {
		free_proof(p);
		return dml_error(ret, "channel: %s", strerror(-ret));
	}
	*shake = (struct dml_shake){ .ops = &proof_ops,
				     .state = p,
				     .fd = fd,
				     .proof = DML_SHAKE_SECRET,
				     .listens = listens };
	return 0;
}
