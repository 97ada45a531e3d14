// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Listening at a Unix socket: of processes that begin at the same time, one succeeds, and
 * none takes the name of a process that listens.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "dmatrack_copy.h"
#include "lib/util/random.h"
#include "test/scratch.h"
#include "test/tap.h"

#define RACERS 4
#define ROUNDS 1000
#define KILLED 200

static char address[340], turn[360];
static const char *path;

static int connect_raw(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (!connect(fd, (void *)&sun, sizeof(sun)))
		return fd;
	close(fd);
	return -1;
}

/* The ID of the process that listens there; 0: none does */
static pid_t server(void)
{
	struct ucred cred = { 0 };
	socklen_t size = sizeof(cred);
	int fd = connect_raw();

	if (fd < 0)
		return 0;
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size);
	close(fd);
	return cred.pid;
}

/* Leave a bound socket, as a killed process does. Return: the socket, not yet listening */
static int bind_raw(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	unlink(path);
	CHECK_EQ(bind(fd, (void *)&sun, sizeof(sun)), 0);
	return fd;
}

static void leave_over(void)
{
	close(bind_raw());
}

static bool is_free(const char *name)
{
	struct stat st;

	return lstat(name, &st) && errno == ENOENT;
}

/* Races ------------------------------------------------------------------------------- */

/*
 * Memory that the processes share. All wait at @gate before each of a round's three steps:
 * listen, check the results, close.
 */
static struct shared {
	pthread_barrier_t gate;
	int ret[RACERS];
	char text[RACERS][300];
} * shared;

static void race(unsigned int i)
{
	struct dmatrack_listener *l;
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		l = NULL;
		pthread_barrier_wait(&shared->gate);
		shared->ret[i] = dmatrack_listen(&l, address, NULL);
		snprintf(shared->text[i], sizeof(shared->text[i]), "%s",
			 dmatrack_error());
		pthread_barrier_wait(&shared->gate);
		pthread_barrier_wait(&shared->gate);
		dmatrack_listener_close(l);
	}
	_exit(0);
}

static void check_round(const pid_t *racers)
{
	unsigned int i;
	pid_t winner = 0;

	for (i = 0; i < RACERS; i++) {
		if (!shared->ret[i]) {
			CHECK(!winner);
			winner = racers[i];
		} else {
			CHECK_EQ(shared->ret[i], -EADDRINUSE);
			CHECK(strstr(shared->text[i], address));
			CHECK(strstr(shared->text[i],
				     "another process listens"));
		}
	}
	CHECK(winner);
	CHECK_EQ(server(), winner);
	CHECK(is_free(turn));
}

/* Odd rounds begin without a socket: the processes compete for that, too. */
static void run_rounds(const pid_t *racers)
{
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		if (round % 2 == 0)
			leave_over();
		pthread_barrier_wait(&shared->gate);
		pthread_barrier_wait(&shared->gate);
		check_round(racers);
		pthread_barrier_wait(&shared->gate);
	}
}

static void test_race(void)
{
	pthread_barrierattr_t attr;
	pid_t racers[RACERS];
	jmp_buf outer;
	unsigned int i;
	int failed;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	CHECK_EQ(pthread_barrier_init(&shared->gate, &attr, RACERS + 1), 0);
	for (i = 0; i < RACERS; i++) {
		racers[i] = fork();
		if (!racers[i])
			race(i);
	}
	memcpy(outer, tap_fail, sizeof(outer));
	failed = setjmp(tap_fail);
	if (!failed)
		run_rounds(racers);
	memcpy(tap_fail, outer, sizeof(outer));
	for (i = 0; i < RACERS; i++) {
		if (failed)
			kill(racers[i], SIGKILL);
		waitpid(racers[i], NULL, 0);
	}
	munmap(shared, sizeof(*shared));
	CHECK(!failed);
}

/* Killed ------------------------------------------------------------------------------ */

static void listen_for_ever(int ready)
{
	struct dmatrack_listener *l;

	for (;;) {
		if (dmatrack_listen(&l, address, NULL))
			_exit(1);
		dmatrack_listener_close(l);
		if (ready >= 0)
			close(ready);
		ready = -1;
	}
}

/* A process is killed at any moment: the next one can listen. */
static void test_killed(void)
{
	struct dmatrack_listener *l;
	uint64_t rng = 1;
	unsigned int i;
	int p[2], status;
	pid_t child;
	char c;

	for (i = 0; i < KILLED; i++) {
		volatile uint64_t spins = dml_random_below(&rng, 200000);

		CHECK_EQ(pipe(p), 0);
		child = fork();
		if (!child)
			listen_for_ever(p[1]);
		close(p[1]);
		CHECK_EQ(read(p[0], &c, 1), 0);
		close(p[0]);
		while (spins)
			spins--;
		kill(child, SIGKILL);
		CHECK_EQ(waitpid(child, &status, 0), child);
		CHECK(WIFSIGNALED(status));
		CHECK_EQ(dmatrack_listen(&l, address, NULL), 0);
		CHECK_EQ(server(), getpid());
		dmatrack_listener_close(l);
		CHECK(is_free(path));
		CHECK(is_free(turn));
	}
}

/* The file that gives the turn --------------------------------------------------------- */

static ino_t inode_of(const char *name)
{
	struct stat st = { 0 };

	CHECK_EQ(lstat(name, &st), 0);
	return st.st_ino;
}

static void test_turn(void)
{
	struct dmatrack_peer peer = { .size = sizeof(peer),
				      .connect_timeout = 50 };
	struct dmatrack_listener *l;
	struct dmatrack_cancel *cancel;
	int fd, bound;
	ino_t socket;

	/* a process that is bound but doesn't listen yet */
	bound = bind_raw();
	socket = inode_of(path);
	fd = open(turn, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK_EQ(flock(fd, LOCK_EX), 0);
	CHECK_EQ(dmatrack_peer_listen(&l, address, &peer), -ETIMEDOUT);
	CHECK(strstr(dmatrack_error(), turn));
	CHECK_EQ(dmatrack_cancel_create(&cancel), 0);
	dmatrack_cancel_set(cancel);
	peer.connect_timeout = 0;
	peer.cancel = cancel;
	CHECK_EQ(dmatrack_peer_listen(&l, address, &peer), -ECANCELED);
	dmatrack_cancel_destroy(cancel);
	CHECK_EQ(inode_of(path), socket);
	/* it listens now; the turn's file was left unlocked */
	CHECK_EQ(listen(bound, 0), 0);
	close(fd);
	CHECK_EQ(dmatrack_listen(&l, address, NULL), -EADDRINUSE);
	CHECK_EQ(inode_of(path), socket);
	CHECK(is_free(turn));
	close(bound);
	CHECK_EQ(dmatrack_listen(&l, address, NULL), 0);
	dmatrack_listener_close(l);
}

/* A listener whose queue is full still counts as listening. */
static void test_busy(void)
{
	struct dmatrack_listener *l;
	int bound = bind_raw(), fd;
	ino_t socket = inode_of(path);

	CHECK_EQ(listen(bound, 0), 0);
	fd = connect_raw();
	CHECK(fd >= 0);
	CHECK_EQ(dmatrack_listen(&l, address, NULL), -EADDRINUSE);
	CHECK_EQ(inode_of(path), socket);
	close(fd);
	close(bound);
	unlink(path);
}

/* A file of any kind but a socket stays. */
static void test_files(void)
{
	struct dmatrack_listener *l;
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	close(fd);
	CHECK_EQ(dmatrack_listen(&l, address, NULL), -EADDRINUSE);
	CHECK(strstr(dmatrack_error(), "not a socket"));
	CHECK_EQ(unlink(path), 0);
	CHECK_EQ(symlink("nowhere", path), 0);
	CHECK_EQ(dmatrack_listen(&l, address, NULL), -EADDRINUSE);
	CHECK_EQ(unlink(path), 0);
	/* a link in place of the turn's file isn't followed, either */
	CHECK_EQ(symlink("nowhere", turn), 0);
	CHECK_EQ(dmatrack_listen(&l, address, NULL), -ELOOP);
	CHECK(strstr(dmatrack_error(), turn));
	CHECK_EQ(unlink(turn), 0);
	CHECK(is_free(scratch_path("nowhere")));
}

int main(void)
{
	scratch_make(NULL);
	snprintf(address, sizeof(address), "unix:%s", scratch_path("socket"));
	path = address + 5;
	snprintf(turn, sizeof(turn), "%s.dmatrack-turn", path);
	TEST(test_race,
	     "of processes that listen at once, one succeeds, and keeps its name");
	TEST(test_killed, "a killed process keeps no other from listening");
	TEST(test_turn, "a process that is about to listen keeps its name");
	TEST(test_busy, "a process with a full queue keeps its name");
	TEST(test_files, "a file that isn't a socket stays");
	return tap_done();
}
