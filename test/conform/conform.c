// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The harness: choose the container, run each case in a child, judge, report
 * in TAP. A case tells its parent what happened through shared memory, so that
 * its checks count even if it dies.
 *
 * However a case ends, nothing of it is left when the next begins. Its processes
 * are one process group. When the case's own process has ended, all others are
 * killed and waited for, those too that lost their parent: the harness adopts
 * them. A process that has been waited for has closed its descriptors and left
 * its memory, so threads, containers, groups and userfaultfds end with it.
 *
 * A case that needs what this run doesn't have by choice (an IOMMU, a second
 * device) is left out and counted; SKIP is for a case that should run but can't.
 */
#include <fnmatch.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"
#include "differences.h"
#include "played.h"

#define CASE_SECONDS \
	240 /* a case is killed after this time: emulation is slow */
#define BUSY_SECONDS 20 /* time that a group may take to be released */

/* A case's report to its parent, in shared memory */
struct news {
	unsigned int checks, failed;
	bool ended; /* the case ran to its end, or ended itself by a check */
	char driver[16];
	char kind[16];
	char skip[256];
	char context[128];
	size_t used;
	char text[1 << 16];
};

struct bed bed;
static struct news *news;
static jmp_buf end;
static const char *running; /* the name of the case that runs in this process */
static struct conform_case *first, **next = &first;

#define MAX_DEVICES 8

static const char *devices[MAX_DEVICES];
static unsigned int nr_devices; /* 0: the container is the engine's */
static bool iommu;		/* the engine has a played IOMMU */
static bool iommufd; /* the container is the engine's, on the device's iommufd */
static bool dirty_bits; /* reads_dirty_bits() */
static bool watched;	/* there is always another view: see struct bed */

void conform_register(struct conform_case *c)
{
	*next = c;
	next = &c->next;
}

static void say(const char *format, va_list args)
{
	size_t left = sizeof(news->text) - news->used;
	int n = vsnprintf(news->text + news->used, left, format, args);

	if (n > 0)
		news->used += (size_t)n < left ? (size_t)n : left - 1;
}

void conform_note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

bool conform_check(const char *file, int line, bool ok, const char *format, ...)
{
	const char *base = strrchr(file, '/');
	va_list args;

	news->checks++;
	if (ok)
		return true;
	news->failed++;
	conform_note("%s:%d: ", base ? base + 1 : file, line);
	va_start(args, format);
	say(format, args);
	va_end(args);
	if (*news->context)
		conform_note(" (%s)", news->context);
	conform_note("\n");
	return false;
}

void conform_context(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(news->context, sizeof(news->context), format, args);
	va_end(args);
}

static const char *value(long long v, char *buf, size_t size)
{
	const char *name = v < 0 && v > -134 ? strerrorname_np(-v) : NULL;

	if (name)
		snprintf(buf, size, "-%s", name);
	else if (v > 99999 || v < -99999)
		snprintf(buf, size, "%#llx", v);
	else
		snprintf(buf, size, "%lld", v);
	return buf;
}

bool conform_eq(const char *file, int line, const char *what, long long got,
		long long want)
{
	char a[32], b[32];

	return conform_check(file, line, got == want, "%s: %s, not %s", what,
			     value(got, a, sizeof(a)),
			     value(want, b, sizeof(b)));
}

void conform_end(void)
{
	longjmp(end, 1);
}

void conform_skip(const char *why)
{
	snprintf(news->skip, sizeof(news->skip), "%s", why);
	longjmp(end, 1);
}

/* Running ----------------------------------------------------------------- */

const char *conform_device(unsigned int kind, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < nr_devices; i++) {
		/* PCI addresses and platform devices have a dot, UUIDs don't */
		bool behind = strchr(devices[i], '.');

		if (behind == (kind == IOMMU) && !n--)
			return devices[i];
	}
	return NULL;
}

/* The case's container is open: only now its driver is known. */
void conform_opened(void)
{
	bed.engine = !strcmp(dmatrack_driver(bed.t), "engine");
	bed.stock = !strcmp(dmatrack_driver(bed.t), "stock");
	snprintf(news->driver, sizeof(news->driver), "%s",
		 dmatrack_driver(bed.t));
	if (bed.stock && difference_fatal(running))
		conform_skip(difference_fatal(running));
	if (watched && dmatrack_open_view(&bed.watcher, bed.t))
		conform_check(__FILE__, __LINE__, false, "no view: %s",
			      dmatrack_error());
}

/* Is the first device behind an IOMMU? */
static bool is_behind(void)
{
	return nr_devices ? devices[0] == conform_device(IOMMU, 0) : iommu;
}

/* A device behind a software IOMMU: see test/testdev/soft_iommu.h */
static bool is_soft(const char *device)
{
	return !strncmp(device, "dmt_", 4);
}

static bool has_narrow(void)
{
	const char *device = conform_device(IOMMU, NARROW_DEVICE);

	return device && !strncmp(device, "dmt_narrow.", 11);
}

/* Does the first device's IOMMU keep dirty bits, and does the driver read them? */
static bool reads_dirty_bits(void)
{
	static const char parameter[] =
		"/sys/module/dmatrack/parameters/hardware_dirty";
	FILE *file;
	bool on;

	if (!nr_devices || strncmp(devices[0], "dmt_dirty.", 10))
		return played_dirty_bits;
	if (iommufd)
		return true;
	file = fopen(parameter, "r");
	on = file && getc(file) == 'Y';
	if (file)
		fclose(file);
	return on;
}

static int open_once(const char *device)
{
	const struct dmatrack_iommufd from = {
		.size = sizeof(from),
		.device = device,
	};

	return iommufd ? dmatrack_open_iommufd(&bed.t, &from) :
			 dmatrack_open_vfio(&bed.t, device, bed.type);
}

static int open_vfio(const char *device)
{
	double until = seconds() + BUSY_SECONDS;
	int ret;

	do
		ret = open_once(device);
	while (ret == -EBUSY && seconds() < until && !sched_yield());
	return ret;
}

static int open_bed(unsigned int where)
{
	unsigned int type = where & V1 ? VFIO_TYPE1_IOMMU : VFIO_TYPE1v2_IOMMU;
	int ret;

	bed.type = type;
	if (nr_devices && where & SEVERAL) {
		snprintf(news->kind, sizeof(news->kind), "several");
		return 0;
	}
	if (nr_devices)
		ret = open_vfio(devices[0]);
	else
		ret = played_open(&bed.t, type);
	if (ret)
		return ret;
	conform_opened();
	if (where & SEVERAL)
		return 0;
	if (nr_devices)
		ret = dev_open_fd(&bed.d, bed.t, dmatrack_device_fd(bed.t));
	else
		ret = played_add(&bed.d, iommu ? IOMMU : EMULATED, 0);
	if (ret)
		return ret;
	bed.iommu = is_behind();
	snprintf(news->kind, sizeof(news->kind), "%s", dev_kind(bed.d));
	return 0;
}

void conform_close(void)
{
	remove_all();
	if (bed.d && bed.engine)
		played_remove(bed.d);
	else if (bed.d)
		dev_close(bed.d);
	bed.d = NULL;
	if (bed.t)
		dmatrack_close(bed.t);
	bed.t = NULL;
	dmatrack_close(
		bed.watcher); /* after the container, which usually ends first */
	bed.watcher = NULL;
}

enum lack {
	LACKS_IOMMU,
	LACKS_EMULATED,
	LACKS_ENGINE,
	LACKS_KERNEL,
	LACKS_KINDS,
	LACKS_MDEVS,
	LACKS_UNSEEN,
	LACKS_DIRTY_BITS,
	LACKS_REGISTERS,
	LACKS_NARROW,
	LACKS_V1,
	LACKS_NOTHING,
};

/* Things that a run can lack, as the summary names them, and the cases that need each */
static const char *const lacks[] = {
	"an IOMMU",
	"a container without an IOMMU",
	"the engine",
	"the kernel",
	"devices of both kinds",
	"two mediated devices",
	"a device that can't be seen",
	"dirty bits",
	"registers",
	"an IOMMU of 32 bits",
	"a container of VFIO_TYPE1_IOMMU",
};
static unsigned int left_out[LACKS_NOTHING];

/* The thing that a case needs and this run lacks by choice */
static enum lack lack_of(unsigned int where)
{
	bool engine = !nr_devices;
	bool behind = is_behind();

	if (where & KERNEL && (engine || iommufd))
		return LACKS_KERNEL;
	if (where & V1 && iommufd)
		return LACKS_V1;
	if ((where & ENGINE) == ENGINE && !engine)
		return LACKS_ENGINE;
	if (where & SEVERAL && !engine &&
	    !(conform_device(IOMMU, 0) && conform_device(EMULATED, 0)))
		return LACKS_KINDS;
	if (where & TWO_MDEVS && !conform_device(EMULATED, 1))
		return LACKS_MDEVS;
	if (behind && !(where & IOMMU) && where & EMULATED)
		return LACKS_EMULATED;
	if (!behind && !(where & EMULATED) && where & IOMMU)
		return LACKS_IOMMU;
	if (where & UNSEEN && dirty_bits)
		return LACKS_UNSEEN;
	if (where & DIRTY_BITS && !dirty_bits)
		return LACKS_DIRTY_BITS;
	if (where & REGISTERS && !engine && is_soft(devices[0]))
		return LACKS_REGISTERS;
	if (where & NARROW && !engine && !has_narrow())
		return LACKS_NARROW;
	return LACKS_NOTHING;
}

/* Count a case that can't run for want of a thing that this run lacks by choice. */
static bool is_left_out(unsigned int where)
{
	enum lack lack = lack_of(where);

	if (lack == LACKS_NOTHING)
		return false;
	left_out[lack]++;
	return true;
}

static void print_left_out(void)
{
	const char *comma = "";
	unsigned int n = 0, i;

	for (i = 0; i < LACKS_NOTHING; i++)
		n += left_out[i];
	if (!n)
		return;
	printf("# %u cases don't apply:", n);
	for (i = 0; i < LACKS_NOTHING; i++) {
		if (!left_out[i])
			continue;
		printf("%s %u need %s", comma, left_out[i], lacks[i]);
		comma = ",";
	}
	puts("");
}

static void child(const struct conform_case *c)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(CASE_SECONDS);
	running = c->name;
	if (!setjmp(end)) {
		int ret = open_bed(c->where);

		if (ret)
			conform_check(c->name, 0, false, "no container: %s",
				      strerror(-ret));
		else
			c->run();
	}
	conform_close();
	news->ended = true;
	fflush(NULL);
	exit(0);
}

/* Kill all processes that the case in process @pid has left, and wait for them. */
static void reap(pid_t pid)
{
	kill(-pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

static int run(const struct conform_case *c)
{
	int status;
	pid_t pid;

	memset(news, 0, sizeof(*news));
	pid = fork();
	if (!pid)
		child(c);
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		perror("conform");
		exit(2);
	}
	reap(pid);
	if (WIFSIGNALED(status))
		conform_check(c->name, 0, false, "killed by %s",
			      strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) || !news->ended)
		conform_check(c->name, 0, false, "exit status %d",
			      WEXITSTATUS(status));
	else
		return 0;
	return -1;
}

/* Judging ----------------------------------------------------------------- */

static unsigned int number, passed, failed, skipped;

static void comment(const char *prefix, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		printf("# %s%.*s\n", prefix, (int)n, text);
		text += n + !!text[n];
	}
}

static void ok(const char *name, const char *note)
{
	passed++;
	printf("ok %u - %s%s%s\n", number, name, *note ? " # " : "", note);
}

static void not_ok(const char *name, const char *note)
{
	failed++;
	printf("not ok %u - %s # %s\n", number, name, note);
}

/* A case that fails on purpose, to see that the next isn't disturbed */
static void judge_failing(const char *name, bool died)
{
	if (died || !news->failed)
		not_ok(name, "it was to fail, and didn't");
	else
		ok(name, "fails on purpose");
	comment("", news->text);
}

/* A case that the stock driver is known to fail, run on the stock driver */
static void judge_difference(const char *name, const struct difference *d,
			     bool died)
{
	char note[512];

	if (died) {
		not_ok(name, "it died");
	} else if (!news->failed) {
		snprintf(note, sizeof(note), "the difference is gone: %s",
			 d->what);
		not_ok(name, note);
	} else if (d->seen && !strstr(news->text, d->seen)) {
		snprintf(note, sizeof(note),
			 "it differs in another way than '%s'", d->seen);
		not_ok(name, note);
	} else {
		snprintf(note, sizeof(note), "differs: %s (%s)", d->what,
			 d->row);
		ok(name, note);
	}
	comment("stock: ", news->text);
}

static void judge(const struct conform_case *c, bool died)
{
	const struct difference *d = NULL;
	char note[64];

	number++;
	if (!strcmp(news->driver, "stock"))
		d = difference_of(c->name);

	if (*news->skip && !news->failed) {
		skipped++;
		printf("ok %u - %s # SKIP %s\n", number, c->name, news->skip);
	} else if (c->where & FAILS) {
		judge_failing(c->name, died);
	} else if (d) {
		judge_difference(c->name, d, died);
	} else if (news->failed || !news->checks) {
		snprintf(note, sizeof(note), "%u of %u checks failed",
			 news->failed, news->checks);
		not_ok(c->name, note);
		comment("", news->text);
	} else {
		ok(c->name, "");
		comment("", news->text);
	}
	fflush(stdout);
}

/*
 * Does one of @patterns match? '!PATTERN' takes matches away; as the first pattern, from
 * all cases.
 */
static bool wanted(const char *name, char **patterns)
{
	bool want = !*patterns || **patterns == '!';

	for (; *patterns; patterns++) {
		bool take = **patterns != '!';

		if (!fnmatch(*patterns + !take, name, 0))
			want = take;
	}
	return want;
}

static void usage(FILE *to)
{
	fputs("usage: conform [--watched] --engine "
	      "[--iommu|--iommus|--dirty-bits] [PATTERN]...\n"
	      "       conform [--watched] {--device UUID|PCI-ADDRESS}... "
	      "[PATTERN]...\n"
	      "       conform [--watched] --iommufd DEVICE [PATTERN]...\n"
	      "       conform --list\n"
	      "\n"
	      "Run the cases whose names match (shell patterns; default all; "
	      "'!PATTERN' leaves\n"
	      "cases out) against the engine, with its own devices or those "
	      "behind a played\n"
	      "IOMMU (each its own; one that keeps dirty bits); or against "
	      "the kernel's type1\n"
	      "driver with a device. Cases about several devices use the "
	      "others, too. Or against\n"
	      "the engine on page tables of an iommufd. With --watched, another "
	      "view of the\n"
	      "container harvests as well. TAP on stdout. Exit status: 0 all "
	      "passed, 1 some\n"
	      "failed, 2 usage.\n",
	      to);
}

static void check_differences(void)
{
	const struct conform_case *c;
	const char *name;
	int i;

	for (i = 0; (name = difference_name(i)); i++) {
		for (c = first; c && strcmp(c->name, name); c = c->next)
			;
		if (c)
			continue;
		number++;
		not_ok(name, "differences.c lists a case that there isn't");
	}
}

/* --watched may stand anywhere. Return: the number of arguments without it */
static int take_watched(int argc, char **argv)
{
	int i, n = 0;

	for (i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--watched"))
			watched = true;
		else
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	return n;
}

/* Return: the patterns that follow; NULL: no devices, or too many */
static char **take_devices(char **arg)
{
	for (; arg[0] && arg[1] && !strcmp(*arg, "--device"); arg += 2) {
		if (nr_devices == MAX_DEVICES)
			return NULL;
		devices[nr_devices++] = arg[1];
	}
	return nr_devices ? arg : NULL;
}

int main(int argc, char **argv)
{
	const struct conform_case *c;
	char **patterns;
	bool named = false;

	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (c = first; c; c = c->next)
			puts(c->name);
		return 0;
	} else if (argc == 2 && !strcmp(argv[1], "--help")) {
		usage(stdout);
		return 0;
	}
	argc = take_watched(argc, argv);
	if (argc >= 2 && !strcmp(argv[1], "--engine")) {
		played_apart = argc >= 3 && !strcmp(argv[2], "--iommus");
		played_dirty_bits = argc >= 3 &&
				    !strcmp(argv[2], "--dirty-bits");
		iommu = argc >= 3 && (!strcmp(argv[2], "--iommu") ||
				      played_apart || played_dirty_bits);
		patterns = argv + 2 + iommu;
	} else if (argc >= 3 && !strcmp(argv[1], "--iommufd")) {
		iommufd = true;
		devices[nr_devices++] = argv[2];
		patterns = argv + 3;
	} else {
		patterns = take_devices(argv + 1);
	}
	if (!patterns) {
		usage(stderr);
		return 2;
	}

	dirty_bits = reads_dirty_bits();
	news = mmap(NULL, sizeof(*news), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (news == MAP_FAILED) {
		perror("conform");
		return 2;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (c = first; c; c = c->next) {
		bool died;

		if (!wanted(c->name, patterns) || is_left_out(c->where))
			continue;
		died = run(c);
		if (!named && *news->driver) {
			printf("# %s, %s\n", news->driver, news->kind);
			named = true;
		}
		judge(c, died);
	}
	if (!*patterns)
		check_differences();
	print_left_out();
	printf("1..%u\n", number);
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	return failed || !passed;
}
