// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copying another process by the library: a shell that counts, so its processor writes to its memory all the
 * time. Devices and containers of other processes are tried in the VM: test/guest/snapshot.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dmatrack_copy.h"
#include "test/tap.h"

#define PAGE  4096u
#define STEP  (1u << 20)
#define LIMIT 16u

/* Memory: the allocation that is to fail, counted from 1; 0: none. The linker passes calls on to these. */
static unsigned int fail_at, allocated;

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return ++allocated == fail_at ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return ++allocated == fail_at ? NULL : __real_realloc(old, size);
}

/**
 * struct sparse - a destination in memory
 * @base: the destination
 * @region: what is copied
 * @mem: memory of each region, of which only what was written takes room
 * @n: number of regions
 * @finished: number of calls of finish()
 */
struct sparse {
	struct dmatrack_dest base;
	struct dmatrack_region region[LIMIT];
	char *mem[LIMIT];
	unsigned int n, finished;
};

static struct sparse *sparse_of(struct dmatrack_dest *d)
{
	return (struct sparse *)d;
}

static char *at(struct dmatrack_dest *d, uint64_t iova)
{
	struct sparse *s = sparse_of(d);
	unsigned int i = 0;

	while (iova - s->region[i].iova >= s->region[i].size)
		i++;
	return s->mem[i] + (iova - s->region[i].iova);
}

static int sparse_begin(struct dmatrack_dest *d,
			const struct dmatrack_region *regions, unsigned int n,
			uint32_t page_size)
{
	struct sparse *s = sparse_of(d);

	if (page_size != PAGE || n > LIMIT)
		return -EINVAL;
	for (s->n = 0; s->n < n; s->n++) {
		s->region[s->n] = regions[s->n];
		s->mem[s->n] = mmap(NULL, regions[s->n].size,
				    PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				    -1, 0);
		if (s->mem[s->n] == MAP_FAILED)
			return -ENOMEM;
	}
	return 0;
}

static int sparse_write(struct dmatrack_dest *d, uint64_t iova,
			const void *data, size_t size)
{
	memcpy(at(d, iova), data, size);
	return 0;
}

static int sparse_zero(struct dmatrack_dest *d, uint64_t iova, uint64_t size)
{
	return madvise(at(d, iova), size, MADV_DONTNEED) ? -errno : 0;
}

static int sparse_finish(struct dmatrack_dest *d)
{
	sparse_of(d)->finished++;
	return 0;
}

static const struct dmatrack_dest_ops ops = {
	.size = sizeof(ops),
	.begin = sparse_begin,
	.write = sparse_write,
	.zero = sparse_zero,
	.finish = sparse_finish,
};

static struct sparse dest;

static void sparse_drop(void)
{
	while (dest.n--)
		munmap(dest.mem[dest.n], dest.region[dest.n].size);
	dest.n = 0;
}

static struct dmatrack_process *p;
static struct dmatrack_process_config config;
static struct dmatrack_precopy copy;
static unsigned int calls[3]; /* of stop(), start(), release() */
static int stop_ret;
static int sent; /* signal that stop() sends */

static int on_stop(void *opaque)
{
	siginfo_t ended;

	calls[0]++;
	if (opaque != &dest)
		return -EBADMSG;
	if (sent)
		kill(config.pid, sent);
	if (sent == SIGKILL)
		waitid(P_PID, (id_t)config.pid, &ended, WEXITED | WNOWAIT);
	return stop_ret;
}

static int on_start(void *opaque)
{
	calls[1]++;
	return opaque == &dest ? 0 : -EBADMSG;
}

static int on_release(void *opaque)
{
	calls[2]++;
	return opaque == &dest ? 0 : -EBADMSG;
}

/* The letter of the process's state */
static char state(void)
{
	char path[64], line[512] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", config.pid);
	f = fopen(path, "r");
	if (!f || !fgets(line, sizeof(line), f) || !strrchr(line, ')'))
		line[0] = '\0';
	if (f)
		fclose(f);
	return line[0] ? strrchr(line, ')')[2] : 'X';
}

static bool runs(void)
{
	return strchr("RSD", state());
}

/* It has begun to count once it has written to the pipe. */
static pid_t spawn(void)
{
	int out[2];
	pid_t pid;
	char byte;

	CHECK_EQ(pipe(out), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], 1);
		execl("/bin/sh", "sh", "-c",
		      "echo; i=0; while :; do i=$((i+1)); x=$x$i; [ ${#x} -lt 9000 ] || x=; done",
		      NULL);
		_exit(127);
	}
	CHECK(pid > 0);
	close(out[1]);
	CHECK_EQ(read(out[0], &byte, 1), 1);
	close(out[0]);
	return pid;
}

static void begin(void)
{
	dest = (struct sparse){ .base.ops = &ops };
	memset(calls, 0, sizeof(calls));
	stop_ret = sent = 0;
	config = (struct dmatrack_process_config){
		.size = sizeof(config),
		.pid = spawn(),
		.fd = -1,
		.flags = DMATRACK_PROCESS_ALL,
	};
	copy = (struct dmatrack_precopy){
		.size = sizeof(copy),
		.dest = &dest.base,
		.opaque = &dest,
		.stop = on_stop,
		.start = on_start,
	};
}

static void end(void)
{
	dmatrack_process_close(p);
	p = NULL;
	sparse_drop();
	kill(config.pid, SIGKILL);
	waitpid(config.pid, NULL, 0);
}

/* Is the copy what the process's memory is now? */
static bool is_exact(void)
{
	static char buf[STEP];
	unsigned int i;
	uint64_t pos, n;

	for (i = 0; i < dest.n; i++) {
		for (pos = 0; pos < dest.region[i].size; pos += n) {
			n = dest.region[i].size - pos;
			n = n < STEP ? n : STEP;
			if (dmatrack_process_read(p, dest.region[i].iova + pos,
						  buf, n) ||
			    memcmp(buf, dest.mem[i] + pos, n) != 0)
				return false;
		}
	}
	return true;
}

/* Without release() it stays stopped, as the copy has it. */
static void test_exact(void)
{
	const struct dmatrack_process_info *info;
	struct dmatrack_totals totals;

	begin();
	CHECK_EQ(dmatrack_process_open(&p, &config), 0);
	info = dmatrack_process_get_info(p);
	CHECK(info->nregions && info->nspans && !info->container);
	CHECK_EQ(info->way, DMATRACK_PROCESS_RUNS);
	CHECK_EQ(!info->log, *info->no_log != '\0');
	CHECK(info->regions[0].iova >= DMATRACK_PROCESS_ADDRESSES);
	CHECK_EQ(dmatrack_process_copy(p, &copy, &totals), 0);
	CHECK_EQ(dest.finished, 1);
	CHECK_EQ(calls[0], 1);
	CHECK_EQ(totals.stopped, 1);
	CHECK_EQ(state(), 'T');
	CHECK(is_exact());
	CHECK(dmatrack_process_get_info(p) == info);
	CHECK_EQ(info->way, DMATRACK_PROCESS_SIGNALLED);
	CHECK(info->stop_time > 0);
	CHECK_EQ(info->written, 0);
	CHECK_EQ(dmatrack_process_go_on(p), 0);
	CHECK(runs());
	CHECK_EQ(dmatrack_process_go_on(p), 0);
	CHECK_EQ(calls[1] + calls[2], 0);
	CHECK_EQ(dmatrack_process_copy(p, &copy, NULL), -EALREADY);
	end();
}

static void test_release(void)
{
	struct dmatrack_totals totals;

	begin();
	CHECK_EQ(dmatrack_process_open(&p, &config), 0);
	copy.release = on_release;
	copy.stop = NULL;
	CHECK_EQ(dmatrack_process_copy(p, &copy, &totals), 0);
	CHECK_EQ(dest.finished, 1);
	CHECK_EQ(calls[2], 1);
	CHECK_EQ(totals.stopped, 0);
	CHECK(runs());
	end();
}

/* It was stopped by another, and stays so. */
static void test_stopped(void)
{
	begin();
	kill(config.pid, SIGSTOP);
	CHECK_EQ(waitpid(config.pid, NULL, WUNTRACED), config.pid);
	CHECK_EQ(dmatrack_process_open(&p, &config), 0);
	copy.release = on_release;
	CHECK_EQ(dmatrack_process_copy(p, &copy, NULL), 0);
	CHECK_EQ(dmatrack_process_get_info(p)->way,
		 DMATRACK_PROCESS_STOPPED_BEFORE);
	CHECK_EQ(state(), 'T');
	CHECK(is_exact());
	end();
}

/* A copy that can't be exact is not completed, and the process goes on. */
static void test_set_going(void)
{
	begin();
	sent = SIGCONT;
	CHECK_EQ(dmatrack_process_open(&p, &config), 0);
	CHECK_EQ(dmatrack_process_copy(p, &copy, NULL), -ESTALE);
	CHECK(strstr(dmatrack_error(), "set going"));
	CHECK_EQ(dest.finished, 0);
	CHECK_EQ(calls[1], 1);
	CHECK(runs());
	end();
}

static void test_set_going_release(void)
{
	begin();
	sent = SIGCONT;
	copy.release = on_release;
	CHECK_EQ(dmatrack_process_open(&p, &config), 0);
	CHECK_EQ(dmatrack_process_copy(p, &copy, NULL), -ESTALE);
	CHECK(strstr(dmatrack_error(), "set going"));
	CHECK_EQ(dest.finished, 0);
	CHECK_EQ(calls[2], 0);
	CHECK(runs());
	end();
}

static void test_fails(void)
{
	begin();
	stop_ret = -ENOTTY;
	CHECK_EQ(dmatrack_process_open(&p, &config), 0);
	CHECK_EQ(dmatrack_process_copy(p, &copy, NULL), -ENOTTY);
	CHECK_EQ(dest.finished, 0);
	CHECK(runs());
	end();
}

static void test_killed(void)
{
	begin();
	sent = SIGKILL;
	CHECK_EQ(dmatrack_process_open(&p, &config), 0);
	CHECK_EQ(dmatrack_process_copy(p, &copy, NULL), -ESRCH);
	CHECK(strstr(dmatrack_error(), "has ended"));
	CHECK_EQ(dest.finished, 0);
	end();
}

/* The caller closes it while it stands still. */
static void test_closed(void)
{
	begin();
	CHECK_EQ(dmatrack_process_open(&p, &config), 0);
	CHECK_EQ(dmatrack_process_copy(p, &copy, NULL), 0);
	CHECK_EQ(state(), 'T');
	dmatrack_process_close(p);
	p = NULL;
	CHECK(runs());
	end();
}

/* Each allocation fails, one after the other: the process runs on, and there is no copy but a whole one. */
static void test_no_memory(void)
{
	int err = -1;

	begin();
	copy.release = on_release;
	for (fail_at = 1; fail_at <= allocated || err; fail_at++) {
		dest.finished = allocated = 0;
		err = dmatrack_process_open(&p, &config);
		if (!err)
			err = dmatrack_process_copy(p, &copy, NULL);
		CHECK(!err || err == -ENOMEM);
		CHECK_EQ(dest.finished, !err);
		CHECK(runs());
		dmatrack_process_close(p);
		p = NULL;
		sparse_drop();
	}
	CHECK(fail_at > 10);
	fail_at = 0;
	end();
}

static void test_arguments(void)
{
	struct dmatrack_process_config wrong;
	struct dmatrack *t = NULL;
	uint64_t first;
	char buf[2 * PAGE];

	begin();
	wrong = config;
	wrong.pid = getpid();
	CHECK_EQ(dmatrack_process_open(&p, &wrong), -EINVAL);
	wrong.pid = 0;
	CHECK_EQ(dmatrack_process_open(&p, &wrong), -EINVAL);
	wrong = config;
	wrong.flags |= 1u << 31;
	CHECK_EQ(dmatrack_process_open(&p, &wrong), -EINVAL);
	wrong = config;
	wrong.reserved = 1;
	CHECK_EQ(dmatrack_process_open(&p, &wrong), -EINVAL);
	wrong = config;
	wrong.flags = 0;
	CHECK_EQ(dmatrack_process_open(&p, &wrong), -ENODEV);
	CHECK(strstr(dmatrack_error(), "has no container"));
	wrong = config;
	wrong.fd = 0;
	CHECK_EQ(dmatrack_process_open(&p, &wrong) < 0, 1);
	CHECK_EQ(dmatrack_process_open(NULL, &config), -EINVAL);
	CHECK_EQ(dmatrack_process_open(&p, NULL), -EINVAL);
	CHECK(!p);

	CHECK_EQ(dmatrack_process_open(&p, &config), 0);
	copy.containers = &t;
	CHECK_EQ(dmatrack_process_copy(p, &copy, NULL), -EINVAL);
	copy.containers = NULL;
	copy.nregions = 1;
	CHECK_EQ(dmatrack_process_copy(p, &copy, NULL), -EINVAL);
	copy.nregions = 0;
	copy.page_size = 2 * PAGE;
	CHECK_EQ(dmatrack_process_copy(p, &copy, NULL), -EINVAL);
	copy.page_size = PAGE;
	CHECK_EQ(dmatrack_process_copy(NULL, &copy, NULL), -EINVAL);
	CHECK_EQ(dmatrack_process_copy(p, NULL, NULL), -EINVAL);

	first = dmatrack_process_get_info(p)->regions[0].iova;
	CHECK_EQ(dmatrack_process_read(p, first, buf, PAGE), 0);
	CHECK_EQ(dmatrack_process_read(p, first - PAGE, buf, PAGE), -EINVAL);
	CHECK_EQ(dmatrack_process_read(p, first - PAGE, buf, 2 * PAGE),
		 -EINVAL);
	CHECK_EQ(dmatrack_process_read(p, first + 1, buf, PAGE), -EINVAL);
	CHECK_EQ(dmatrack_process_read(p, first, buf, 1), -EINVAL);
	CHECK_EQ(dmatrack_process_read(NULL, first, buf, PAGE), -EINVAL);
	CHECK_EQ(dmatrack_process_go_on(NULL), -EINVAL);
	CHECK(!dmatrack_process_get_info(NULL));
	dmatrack_process_close(NULL);
	end();
}

static void test_ended(void)
{
	begin();
	kill(config.pid, SIGKILL);
	CHECK_EQ(waitpid(config.pid, NULL, 0), config.pid);
	CHECK_EQ(dmatrack_process_open(&p, &config), -ESRCH);
	CHECK(strstr(dmatrack_error(), "no such process"));
}

int main(void)
{
	TEST(test_exact, "a process that writes all the time");
	TEST(test_release, "one that goes on by itself");
	TEST(test_stopped, "one that is stopped already");
	TEST(test_set_going, "one that another process sets going");
	TEST(test_set_going_release, "and that would have gone on");
	TEST(test_fails, "the program's function fails: it goes on");
	TEST(test_killed, "it is killed while it stands still");
	TEST(test_closed, "it is closed while it stands still");
	TEST(test_no_memory, "no memory, for each allocation");
	TEST(test_arguments, "arguments that are wrong");
	TEST(test_ended, "it has ended");
	return tap_done();
}
