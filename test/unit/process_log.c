// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Logs of what processors write: in this process, and in another one, which is a child that writes when
 * it is told to. Each is skipped where the kernel hasn't got it. Before Linux 6.7 this process is logged as
 * another one is, by soft-dirty bits.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dmatrack_copy.h"
#include "dmatrack_engine.h"
#include "lib/util/racy_copy.h"
#include "lib/util/random.h"
#include "test/says.h"
#include "test/tap.h"
#include "test/zero_page.h"
#include "memdest.h"

#define PAGE  4096ull
#define BASE  (1ull << 32)
#define HUGE  (2ull << 20)
#define PAGES 2048u
#define SIZE  (PAGES * PAGE)
#define NONE  (~0u)

static struct dmatrack *t;
static unsigned char *memory; /* 2 MiB aligned, with as much room behind */

/* The process that writes -------------------------------------------------------------- */

enum action { WRITE, READ, GIVE_BACK, MAP_ANEW, FROM_FILE };

/**
 * struct order - what the writing process is to do
 * @action: the action
 * @page: number of the first page
 * @n: number of pages
 * @value: what to write
 */
struct order {
	enum action action;
	unsigned int page, n;
	unsigned char value;
};

static pid_t child; /* 0: this process writes */
static int to_child, from_child;

static void carry_out(const struct order *o)
{
	unsigned char *at = memory + o->page * PAGE;
	unsigned int i;
	int fd;

	switch (o->action) {
	case WRITE:
		for (i = 0; i < o->n; i++)
			*(volatile unsigned char *)(at + i * PAGE) = o->value;
		break;
	case READ:
		for (i = 0; i < o->n; i++)
			(void)*(volatile unsigned char *)(at + i * PAGE);
		break;
	case GIVE_BACK:
		madvise(at, o->n * PAGE, MADV_DONTNEED);
		break;
	case MAP_ANEW:
		mmap(at, o->n * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	case FROM_FILE:
		fd = open("/dev/zero", O_RDONLY);
		if (read(fd, at, o->n * PAGE) < 0)
			_exit(1);
		close(fd);
		break;
	}
}

static void serve(int in, int out)
{
	struct order o;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(in, &o, sizeof(o)) == sizeof(o)) {
		carry_out(&o);
		if (write(out, &o.value, 1) != 1)
			break;
	}
	_exit(0);
}

static void order(enum action action, unsigned int page, unsigned int n)
{
	static unsigned char value;
	struct order o = { action, page, n, ++value };

	if (!child) {
		carry_out(&o);
		return;
	}
	CHECK_EQ(write(to_child, &o, sizeof(o)), sizeof(o));
	CHECK_EQ(read(from_child, &o.value, 1), 1);
}

static void begin_child(void)
{
	int there[2], back[2];

	CHECK_EQ(pipe2(there, O_CLOEXEC) | pipe2(back, O_CLOEXEC), 0);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		close(there[1]);
		close(back[0]);
		serve(there[0], back[1]);
	}
	close(there[0]);
	close(back[1]);
	to_child = there[1];
	from_child = back[0];
}

static void end_child(void)
{
	if (child) {
		close(to_child);
		close(from_child);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	child = 0;
}

/* Helpers ------------------------------------------------------------------------------ */

static void map_memory(int flags, int fd)
{
	unsigned char *at = mmap(NULL, SIZE + 2 * HUGE, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(at != MAP_FAILED);
	memory = (unsigned char *)(((uintptr_t)at + HUGE - 1) & -HUGE);
	CHECK(mmap(memory, SIZE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd,
		   0) == memory);
}

/* Some pages are present, and others never touched. */
static void fill(void)
{
	memset(memory, 1, 100 * PAGE);
	memset(memory + 1024 * PAGE, 1, 512 * PAGE);
}

static int open_log(const struct dmatrack_mapping *m, unsigned int n)
{
	const struct dmatrack_process_log from = {
		.size = sizeof(from),
		.pid = child,
		.nr_mappings = n,
		.mappings = m,
	};

	return dmatrack_open_process_log(&t, &from);
}

static struct dmatrack_mapping mapping(unsigned int page, unsigned int n)
{
	return (struct dmatrack_mapping){
		.iova = BASE + page * PAGE,
		.last = BASE + (page + n) * PAGE - 1,
		.vaddr = (uintptr_t)(memory + page * PAGE),
	};
}

static void close_log(void)
{
	dmatrack_close(t);
	t = NULL;
	end_child();
	if (memory)
		munmap(memory, SIZE);
	memory = NULL;
}

static void begin_with(int flags, int fd, int advice, bool other)
{
	struct dmatrack_mapping m;

	close_log();
	map_memory(flags, fd);
	madvise(memory, SIZE, advice);
	fill();
	if (other)
		begin_child();
	m = mapping(0, PAGES);
	CHECK_EQ(open_log(&m, 1), 0);
	CHECK(!strcmp(dmatrack_driver(t), "process"));
	CHECK_EQ(dmatrack_start(t), 0);
}

static bool other;   /* the process under test is another one */
static bool by_bits; /* this one is logged by soft-dirty bits */

static void begin(void)
{
	begin_with(MAP_PRIVATE | MAP_ANONYMOUS, -1, MADV_NOHUGEPAGE, other);
}

static uint64_t bits[PAGES / 64];

static void harvest(void)
{
	memset(bits, 0xff, sizeof(bits));
	CHECK_EQ(dmatrack_harvest(t, BASE, SIZE, PAGE, bits), 0);
}

static bool is_dirty(unsigned int page)
{
	return bits[page / 64] >> page % 64 & 1;
}

/* Exactly [@at, @at + @n) and @extra are dirty. */
static void check_dirty(unsigned int at, unsigned int n, unsigned int extra)
{
	unsigned int i;

	harvest();
	for (i = 0; i < PAGES; i++) {
		bool want = (i >= at && i - at < n) || i == extra;

		if (is_dirty(i) != want)
			printf("# page %u\n", i);
		CHECK_EQ(is_dirty(i), want);
	}
}

static void check_clean(void)
{
	check_dirty(0, 0, NONE);
}

/* Tests of both ------------------------------------------------------------------------ */

static void test_writes(void)
{
	begin();
	check_clean();
	order(WRITE, 3, 1);
	order(WRITE, 64, 7);
	check_dirty(64, 7, 3);
	check_clean();
	order(WRITE, 3, 1);   /* again */
	order(WRITE, 500, 2); /* never touched before */
	check_dirty(500, 2, 3);
	order(WRITE, PAGES - 1, 1);
	order(FROM_FILE, 1100, 3);
	check_dirty(1100, 3, PAGES - 1);
	check_clean();
}

static void test_given_back(void)
{
	begin();
	order(GIVE_BACK, 20, 5);
	check_dirty(20, 5, NONE);
	check_clean();
	order(GIVE_BACK, 1024, 512); /* a whole page table */
	check_dirty(1024, 512, NONE);
	check_clean();
	order(WRITE, 22, 1);
	order(WRITE, 1030, 1);
	check_dirty(1030, 1, 22);
	order(WRITE, 22, 1);
	order(GIVE_BACK, 22, 1);
	check_dirty(22, 1, NONE);
	check_clean();
}

/* A part of the memory is replaced: no write is missed, and it goes on exactly. */
static void test_mapped_anew(void)
{
	unsigned int i;

	begin();
	order(MAP_ANEW, 50, 1);
	order(WRITE, 50, 1);
	harvest();
	CHECK(is_dirty(50));
	order(MAP_ANEW, 60, 1);
	order(MAP_ANEW, 1200, 1);
	order(WRITE, 10, 1);
	harvest();
	CHECK(is_dirty(10));
	CHECK(is_dirty(60));
	CHECK(is_dirty(1200));
	for (i = 0; i < 2; i++)
		check_clean();
	order(WRITE, 60, 1);
	check_dirty(60, 1, NONE);
}

/* Mappings in any order, with holes between; a range across them, lists, larger pages. */
static void test_mappings(void)
{
	struct dmatrack_mapping m[3];
	uint64_t word;

	close_log();
	map_memory(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise(memory, SIZE, MADV_NOHUGEPAGE);
	fill();
	if (other)
		begin_child();
	m[0] = mapping(1000, 100);
	m[1] = mapping(0, 10);
	m[2] = mapping(40, 24);
	m[2].vaddr = (uintptr_t)(memory + 1500 * PAGE);
	CHECK_EQ(open_log(m, 3), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	order(WRITE, 5, 1);
	order(WRITE, 20, 1); /* in none */
	order(WRITE, 1501, 2);
	CHECK_EQ(dmatrack_harvest(t, BASE, 64 * PAGE, PAGE, &word), 0);
	CHECK_EQ(word, 1ull << 5 | 3ull << 41);
	order(WRITE, 1002, 1);
	order(WRITE, 1090, 1);
	CHECK_EQ(dmatrack_harvest(t, BASE + 960 * PAGE, 128 * PAGE, 2 * PAGE,
				  &word),
		 0);
	CHECK_EQ(word, 1ull << 21);
	CHECK_EQ(dmatrack_harvest(t, BASE + 1088 * PAGE, 64 * PAGE, PAGE,
				  &word),
		 0);
	CHECK_EQ(word, 1ull << 2);
	CHECK_EQ(dmatrack_map(t, 0, memory, PAGE, DMATRACK_MAP_WRITE),
		 -EOPNOTSUPP);
}

static void count(void *opaque, uint64_t iova, uint64_t size)
{
	*(uint64_t *)opaque += size / PAGE;
}

static void test_lists(void)
{
	uint64_t n = 0;
	const struct dmatrack_ranges all = {
		.size = sizeof(all),
		.length = 1ull << 40,
		.page_size = PAGE,
		.opaque = &n,
		.found = count,
	};

	begin();
	order(WRITE, 3, 1);
	order(WRITE, 700, 30);
	CHECK_EQ(dmatrack_harvest_ranges(t, &all), 0);
	CHECK_EQ(n, 31);
	n = 0;
	CHECK_EQ(dmatrack_harvest_ranges(t, &all), 0);
	CHECK_EQ(n, 0);
}

static void test_stopped(void)
{
	begin();
	CHECK_EQ(dmatrack_stop(t), 0);
	order(WRITE, 3, 1);
	CHECK_EQ(dmatrack_harvest(t, BASE, SIZE, PAGE, bits), -EINVAL);
	CHECK_EQ(dmatrack_start(t), 0);
	check_clean();
	order(WRITE, 4, 1);
	check_dirty(4, 1, NONE);
}

/* A harvest that fails loses nothing. */
static void test_bad_buffer(void)
{
	begin();
	order(WRITE, 3, 1);
	CHECK_EQ(dmatrack_harvest(t, BASE, SIZE, PAGE, (uint64_t *)PAGE),
		 -EFAULT);
	check_dirty(3, 1, NONE);
}

/* Tests of this process ------------------------------------------------------------------ */

/* Without a page of zeros, a read of memory that was never touched fills in a page. */
static void test_reads(void)
{
	begin();
	if (!has_zero_page()) {
		order(WRITE, 0, 1024);
		order(WRITE, 1900, 1);
		harvest();
	}
	order(READ, 0, 1024);
	order(READ, 1900, 1);
	check_clean();
	order(WRITE, 200, 1);
	check_dirty(200, 1, NONE);
}

static void test_shared(void)
{
	int fd = memfd_create("shared", MFD_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, SIZE), 0);
	begin_with(MAP_SHARED, fd, MADV_NOHUGEPAGE, false);
	close(fd);
	check_clean();
	order(WRITE, 3, 2);
	order(WRITE, 800, 1);
	check_dirty(3, 2, 800);
	order(GIVE_BACK, 1024, 512); /* its content stays */
	order(WRITE, 1030, 1);
	harvest();
	CHECK(is_dirty(1030));
	harvest();
	CHECK(!is_dirty(1030));
}

/* A huge page becomes small ones. */
static void test_huge(void)
{
	begin_with(MAP_PRIVATE | MAP_ANONYMOUS, -1, MADV_HUGEPAGE, false);
	check_clean();
	order(WRITE, 5, 1);
	order(WRITE, 1100, 9);
	check_dirty(1100, 9, 5);
	check_clean();
	order(WRITE, 5, 1);
	check_dirty(5, 1, NONE);
}

static void test_watched_twice(void)
{
	struct dmatrack *second, *first;
	struct dmatrack_mapping m;

	begin();
	first = t;
	m = mapping(0, PAGES);
	CHECK_EQ(open_log(&m, 1), 0);
	second = t;
	t = first;
	CHECK_EQ(dmatrack_start(second), -EBUSY);
	CHECK(says(by_bits ? "is logged already" : "another userfaultfd"));
	order(WRITE, 3, 1);
	check_dirty(3, 1, NONE);
	CHECK_EQ(dmatrack_stop(t), 0);
	CHECK_EQ(dmatrack_start(second), 0);
	dmatrack_close(second);
}

/*
 * An address below all that a program loads and maps. Memory that was just unmapped won't do: another
 * thread, one of a sanitizer's for instance, may get the same address.
 */
#define NOTHING (1 << 20)

static void test_unsuitable(void)
{
	struct dmatrack_mapping m[2];

	close_log();
	map_memory(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	CHECK_EQ(open_log(m, 0), -EINVAL);
	m[0] = m[1] = mapping(0, 10);
	CHECK_EQ(open_log(m, 2), -EINVAL);
	CHECK(says("overlap"));
	m[1].iova += 100 * PAGE;
	m[1].last += 100 * PAGE;
	CHECK_EQ(open_log(m, 2), -EINVAL);
	CHECK(says("is in two mappings"));
	m[1].vaddr += 10 * PAGE + 1;
	CHECK_EQ(open_log(m, 2), -EINVAL);
	CHECK(says("not page-aligned"));
	m[1].vaddr = -10 * PAGE;
	CHECK_EQ(open_log(m, 2), -EINVAL);
	m[1].vaddr = NOTHING;
	m[1].last = m[1].iova + PAGE - 1;
	CHECK_EQ(open_log(m, 2), 0);
	if (by_bits)
		return;
	CHECK_EQ(dmatrack_start(t), -EINVAL);
	CHECK(says("there is no memory"));
	dmatrack_close(t);
	t = NULL;
	m[1] = mapping(10, 10); /* and the other one isn't watched any more */
	CHECK_EQ(open_log(m, 2), 0);
	CHECK_EQ(dmatrack_start(t), 0);
}

static void test_child(void)
{
	int status;
	pid_t pid;

	begin();
	order(WRITE, 3, 1);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		int ret = dmatrack_harvest(t, BASE, SIZE, PAGE, bits);

		dmatrack_close(t);
		_exit(ret == -EPERM ? 0 : 1);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	check_dirty(3, 1, NONE);
	order(WRITE, 4, 1);
	check_dirty(4, 1, NONE);
}

/* Threads that write ------------------------------------------------------------------- */

/**
 * struct scribbler - a thread that writes random words to random pages
 * @thread: the thread
 * @rng: state of its random numbers
 * @engine: the engine by which it writes, as a device does; NULL: it writes as a processor does
 * @first: number of the first page that it writes to
 * @pages: number of pages
 * @writes: number of writes to do; 0: until @stop
 * @stop: whether it is to stop
 */
struct scribbler {
	pthread_t thread;
	uint64_t rng;
	struct dmatrack_engine *engine;
	unsigned int first, pages;
	uint64_t writes;
	bool stop;
};

static void scribble_once(struct scribbler *s)
{
	uint64_t value = dml_random_next(&s->rng);
	uint64_t at = (s->first + dml_random_below(&s->rng, s->pages)) * PAGE +
		      dml_random_below(&s->rng, PAGE / 8) * 8;

	if (s->engine)
		dmatrack_engine_write(s->engine, BASE + at, &value, 8);
	else
		__atomic_store_n((uint64_t *)(memory + at), value,
				 __ATOMIC_RELAXED);
}

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	uint64_t n = 0;

	while (s->writes ? n++ < s->writes :
			   !__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE))
		scribble_once(s);
	__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
	return NULL;
}

static void start_scribbler(struct scribbler *s)
{
	CHECK_EQ(pthread_create(&s->thread, NULL, scribble, s), 0);
}

/* Copy pages of the memory, in whichever process it is. */
static void fetch(unsigned char *copy, unsigned int first, unsigned int n)
{
	struct iovec to = { copy + first * PAGE, n * PAGE };
	struct iovec from = { memory + first * PAGE, n * PAGE };

	if (child)
		CHECK_EQ(process_vm_readv(child, &to, 1, &from, 1, 0),
			 n * PAGE);
	else
		dml_racy_copy(to.iov_base, from.iov_base, to.iov_len);
}

static void fetch_dirty(unsigned char *copy)
{
	uint64_t pos = 0, n;

	harvest();
	for (; dmatrack_next_run(bits, PAGES, &pos, &n); pos += n)
		fetch(copy, (unsigned int)pos, (unsigned int)n);
}

/* Harvest and copy while another thread writes: the copy is exact in the end. */
static void test_exact(void)
{
	struct scribbler s = { .rng = 1, .pages = PAGES, .writes = 100000 };
	unsigned char *copy = malloc(SIZE);

	begin();
	CHECK(copy);
	memcpy(copy, memory, SIZE);
	start_scribbler(&s);
	while (!__atomic_load_n(&s.stop, __ATOMIC_ACQUIRE))
		fetch_dirty(copy);
	pthread_join(s.thread, NULL);
	fetch_dirty(copy);
	CHECK(!memcmp(copy, memory, SIZE));
	check_clean();
	free(copy);
}

/* A pre-copy with three sources ---------------------------------------------------------- */

/* What the program's own function reports: it writes here by itself, beside all logs. */
#define OWN_FIRST 1900u
#define OWN	  100u

/**
 * struct program - a program that is copied
 * @engine: the container of its device
 * @cpu: its processor
 * @device: its device
 * @rng: state of its random numbers
 * @own: pages of the last @OWN that it has written since it was asked, one byte each
 * @reported: pages that the device's container, and the process's log, reported
 */
struct program {
	const struct dmatrack *engine;
	struct scribbler cpu, device;
	uint64_t rng;
	unsigned char own[OWN];
	uint64_t reported[2];
};

static int stop_program(void *opaque)
{
	struct program *p = opaque;

	__atomic_store_n(&p->cpu.stop, true, __ATOMIC_RELEASE);
	__atomic_store_n(&p->device.stop, true, __ATOMIC_RELEASE);
	pthread_join(p->cpu.thread, NULL);
	pthread_join(p->device.thread, NULL);
	return 0;
}

/* Memory that no log covers: it's written here, in the copying thread. */
static int own_dirty(void *opaque, unsigned int region, uint64_t *bitmap)
{
	struct program *p = opaque;
	unsigned int i;

	for (i = 0; bitmap && i < OWN; i++) {
		if (p->own[i])
			bitmap[(OWN_FIRST + i) / 64] |= 1ull
							<< (OWN_FIRST + i) % 64;
	}
	memset(p->own, 0, sizeof(p->own));
	return 0;
}

/*
 * Each source has figures of its own. own_write() writes a page at the end of each round: it is reported by
 * the harvest at the end of the next one, and copied in that after it; or by the last harvest of all.
 */
static bool are_figures_right(const struct program *p,
			      const struct dmatrack_round *r)
{
	const struct dmatrack_source *s = r->sources;

	if (r->nsources != 3 || s[0].container != p->engine ||
	    s[1].container != t || s[2].container)
		return false;
	if (!r->number)
		return !s[0].total && !s[1].total && !s[2].total;
	return s[2].total == r->number - !r->last &&
	       s[0].pages + s[1].pages + s[2].pages >= r->dirty && s[1].harvest;
}

static int own_write(void *opaque, const struct dmatrack_round *r)
{
	struct program *p = opaque;
	unsigned int i = dml_random_below(&p->rng, OWN);

	if (!are_figures_right(p, r)) {
		printf("# round %u%s: %llu, %llu and %llu of %llu pages\n",
		       r->number, r->last ? " (last)" : "",
		       (unsigned long long)r->sources[0].pages,
		       (unsigned long long)r->sources[1].pages,
		       (unsigned long long)r->sources[2].pages,
		       (unsigned long long)r->dirty);
		return -EBADMSG;
	}
	p->reported[0] += r->sources[0].pages;
	p->reported[1] += r->sources[1].pages;
	if (r->last)
		return 0;
	memory[(OWN_FIRST + i) * PAGE]++;
	p->own[i] = 1;
	return r->number < 3 ? DMATRACK_GO_ON : DMATRACK_STOP_NOW;
}

static void copy_program(struct dmatrack *engine, struct program *p)
{
	const struct dmatrack_region region = {
		.iova = BASE,
		.size = SIZE,
		.vaddr = memory,
	};
	struct dmatrack *sources[] = { engine, t };
	struct memdest dest;
	const struct dmatrack_precopy how = {
		.size = sizeof(how),
		.containers = sources,
		.ncontainers = 2,
		.regions = &region,
		.nregions = 1,
		.dest = &dest.base,
		.downtime = 1,
		.standstill = UINT64_MAX,
		.max_rounds = 10,
		.opaque = p,
		.stop = stop_program,
		.dirty = own_dirty,
		.round = own_write,
	};
	int ret;

	memdest_init(&dest);
	start_scribbler(&p->cpu);
	start_scribbler(&p->device);
	ret = dmatrack_precopy_run(&how, NULL);
	if (!p->cpu.stop)
		stop_program(p);
	CHECK_EQ(ret, 0);
	CHECK(memdest_exact(&dest));
	memdest_free(&dest);
}

#define RUNS 100

/*
 * The process log covers the first half and a bit, the device writes in the middle, and the program's
 * function reports the end.
 */
static void test_three_sources(void)
{
	struct program p = { .rng = 1 };
	struct dmatrack_mapping m;
	struct dmatrack *engine;
	unsigned int i;

	close_log();
	map_memory(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill();
	m = mapping(0, 1100);
	CHECK_EQ(open_log(&m, 1), 0);
	CHECK_EQ(dmatrack_open_engine(&engine, VFIO_TYPE1v2_IOMMU, 0), 0);
	CHECK_EQ(dmatrack_map(engine, BASE, memory, SIZE,
			      DMATRACK_MAP_READ | DMATRACK_MAP_WRITE),
		 0);
	p.engine = engine;
	for (i = 0; i < RUNS; i++) {
		p.cpu = (struct scribbler){ .rng = i + 1, .pages = 1100 };
		p.device = (struct scribbler){
			.rng = i + 1000,
			.engine = dmatrack_get_engine(engine),
			.first = 1000,
			.pages = 900,
		};
		copy_program(engine, &p);
	}
	CHECK(p.reported[0] && p.reported[1]);
	dmatrack_close(engine);
}

/* Tests of another process --------------------------------------------------------------- */

static void test_gone(void)
{
	begin();
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	harvest();
	CHECK(is_dirty(0) && is_dirty(PAGES - 1));
	harvest();
	CHECK(is_dirty(0));
}

static void test_traced(void)
{
	int status;

	begin();
	order(WRITE, 3, 1);
	CHECK_EQ(dmatrack_stop(t), 0);
	CHECK_EQ(ptrace(PTRACE_SEIZE, child, NULL, NULL), 0);
	CHECK_EQ(dmatrack_start(t), -EPERM);
	CHECK(says("a debugger has it"));
	CHECK_EQ(ptrace(PTRACE_INTERRUPT, child, NULL, NULL), 0);
	CHECK_EQ(waitpid(child, &status, __WALL), child);
	CHECK_EQ(ptrace(PTRACE_DETACH, child, NULL, NULL), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	order(WRITE, 4, 1);
	check_dirty(4, 1, NONE);
}

static void test_no_process(void)
{
	struct dmatrack_mapping m;

	begin();
	dmatrack_close(t);
	t = NULL;
	m = mapping(0, 10);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	CHECK_EQ(open_log(&m, 1), -ESRCH);
	CHECK(says("there is no process"));
}

/*
 * Threads of another process write all the time, while it is harvested: its memory is read from outside,
 * and the copy is exact in the end.
 */
static void scribble_child(void)
{
	static struct scribbler s[3];
	unsigned int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (i = 0; i < 3; i++) {
		s[i] = (struct scribbler){
			.rng = i + 1,
			.pages = PAGES,
			.writes = 60000,
		};
		pthread_create(&s[i].thread, NULL, scribble, &s[i]);
	}
	for (i = 0; i < 3; i++)
		pthread_join(s[i].thread, NULL);
	if (write(from_child, "", 1) != 1)
		_exit(1);
	pause();
}

static void test_other_exact(void)
{
	unsigned char *copy = malloc(SIZE), *again = malloc(SIZE);
	struct dmatrack_mapping m;
	int ends[2];
	char byte;

	close_log();
	CHECK(copy && again);
	map_memory(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill();
	CHECK_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	from_child = ends[1];
	child = fork();
	CHECK(child >= 0);
	if (!child)
		scribble_child();
	to_child = ends[1];
	from_child = ends[0];
	m = mapping(0, PAGES);
	CHECK_EQ(open_log(&m, 1), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	fetch(copy, 0, PAGES);
	while (read(from_child, &byte, 1) != 1)
		fetch_dirty(copy);
	fetch_dirty(copy);
	fetch(again, 0, PAGES);
	CHECK(!memcmp(copy, again, SIZE));
	check_clean();
	free(copy);
	free(again);
}

/*
 * Each page is written once in a pass, while harvests follow each other: a write that one of them
 * loses isn't made up for by a later one.
 */

#define PASSES 8u

/* For each byte from @in: write to each page once, and answer. */
static void sweep(int in, int out)
{
	volatile unsigned int moment;
	unsigned char pass;
	unsigned int i;

	while (read(in, &pass, 1) == 1) {
		for (i = 0; i < PAGES; i++) {
			*(volatile unsigned char *)(memory + i * PAGE) = pass;
			for (moment = 0; moment < 1000; moment++)
				;
		}
		if (write(out, &pass, 1) != 1)
			return;
	}
}

static void *sweep_thread(void *ends)
{
	sweep(((int *)ends)[0], ((int *)ends)[1]);
	return NULL;
}

static void run_pass(unsigned char pass, unsigned char *copy,
		     unsigned char *now)
{
	unsigned char answer;

	CHECK_EQ(write(to_child, &pass, 1), 1);
	do
		fetch_dirty(copy);
	while (read(from_child, &answer, 1) != 1);
	fetch_dirty(copy);
	fetch(now, 0, PAGES);
	CHECK(!memcmp(copy, now, SIZE));
}

static void test_once(void)
{
	unsigned char *copy = malloc(SIZE), *now = malloc(SIZE);
	int there[2], back[2], ends[2];
	struct dmatrack_mapping m;
	pthread_t thread;
	unsigned int i;

	close_log();
	CHECK(copy && now);
	map_memory(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	madvise(memory, SIZE, MADV_NOHUGEPAGE);
	memset(memory, 0xff, SIZE);
	CHECK_EQ(pipe2(there, O_CLOEXEC) | pipe2(back, O_CLOEXEC), 0);
	ends[0] = there[0];
	ends[1] = back[1];
	if (other) {
		child = fork();
		CHECK(child >= 0);
		if (!child) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			sweep(there[0], back[1]);
			_exit(0);
		}
	} else {
		CHECK_EQ(pthread_create(&thread, NULL, sweep_thread, ends), 0);
	}
	to_child = there[1];
	from_child = back[0];
	CHECK_EQ(fcntl(from_child, F_SETFL, O_NONBLOCK), 0);
	m = mapping(0, PAGES);
	CHECK_EQ(open_log(&m, 1), 0);
	CHECK_EQ(dmatrack_start(t), 0);
	fetch(copy, 0, PAGES);
	for (i = 0; i < PASSES; i++)
		run_pass((unsigned char)i, copy, now);
	if (!other) {
		close(to_child);
		pthread_join(thread, NULL);
	}
	free(copy);
	free(now);
}

/* -------------------------------------------------------------------------------------- */

/* Return: whether the kernel has the log */
static bool can_log(void)
{
	struct dmatrack_mapping m;
	int ret;

	close_log();
	map_memory(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (other)
		begin_child();
	m = mapping(0, 1);
	ret = open_log(&m, 1);
	if (ret)
		printf("# %s\n", dmatrack_error());
	close_log();
	return ret != -EOPNOTSUPP;
}

static void both(void)
{
	TEST(test_writes, other ? "another process: what it wrote is reported" :
				  "what was written is reported");
	TEST(test_given_back, other ? "another process: memory is given back" :
				      "memory that is given back is reported");
	TEST(test_mapped_anew,
	     other ? "another process: memory is mapped anew" :
		     "memory is mapped anew: nothing is missed");
	TEST(test_mappings, other ? "another process: several mappings" :
				    "several mappings, ranges, larger pages");
	TEST(test_lists, other ? "another process: lists" : "lists");
	TEST(test_stopped,
	     other ? "another process: stopped" : "stopped, and started again");
	TEST(test_once, other ? "another process: pages that are written once" :
				"pages that are written once");
	TEST(test_bad_buffer, other ? "another process: a bad buffer" :
				      "a bad buffer loses nothing");
}

static void this_process(void)
{
	both();
	TEST(test_reads, "reads aren't reported");
	TEST(test_shared, "shared memory");
	if (by_bits)
		SKIP("huge pages", "soft-dirty bits are of whole ones");
	else
		TEST(test_huge, "huge pages");
	TEST(test_watched_twice, "memory has one log");
	TEST(test_unsuitable, "unsuitable mappings");
	TEST(test_child, "a child can't use it");
	TEST(test_exact, "an exact copy while a thread writes");
	TEST(test_three_sources,
	     "a pre-copy with three sources, a hundred times");
}

static void another_process(void)
{
	both();
	TEST(test_gone, "another process: it exits");
	TEST(test_traced, "another process: it has a debugger");
	TEST(test_no_process, "another process: there is none");
	TEST(test_other_exact,
	     "another process: an exact copy while its threads write");
}

int main(void)
{
	struct utsname system;
	unsigned int major, minor;

	if (uname(&system) ||
	    sscanf(system.release, "%u.%u", &major, &minor) != 2)
		return 1;
	by_bits = major < 6 || (major == 6 && minor < 7);
	if (can_log())
		this_process();
	else
		SKIP("this process", "this kernel has no such log");
	other = true;
	if (can_log())
		another_process();
	else
		SKIP("another process", "no soft-dirty bits in this kernel");
	close_log();
	return tap_done();
}
