// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Migrate the guest of test/qemu/guest, again and again, with new mediated
 * devices and new QEMUs each time: see usage(). Prints TAP.
 *
 * A migration is kept in its pre-copy phase for ROUNDS rounds by a tiny allowed
 * downtime, so each has several rounds, whatever the machine's speed. QEMU sends an
 * event when a round begins. Some migrations are cancelled at first and then begun
 * anew, so that the log is stopped and started.
 */
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "migrate.h"
#define TAP_OWN_ARGUMENTS
#include "test/tap.h"

#define ROUNDS		6
#define BANDWIDTH	(12 << 20) /* bytes a second, in pre-copy */
#define DOWNTIME	1	   /* ms: never enough to end pre-copy */
#define DOWNTIME_AT_END 20000	   /* ms: always enough */
#define SOCKET		"/tmp/migration"

static struct setup setup = {
	.qemu = "/usr/bin/qemu-system-x86_64",
	.guest = "guest.elf",
	.log = "/tmp/migrate-qemu.log",
};
static struct vmm source, destination;
static unsigned int number; /* number of the run */
static unsigned int runs;
static bool lost;
static bool watched;
static bool foretold;
static unsigned int snapshots; /* number of images before the migration */

/* Is this run's migration the second attempt? */
static bool vain(void)
{
	return number % 4 == 2;
}

void give_up(const char *file, int line, const char *what)
{
	printf("# %s:%d: %s\n", file, line, what);
	longjmp(tap_fail, 1);
}

/* One of the guest's reports */
struct report {
	unsigned long done, failed, own, bad;
};

static void read_report(const char *when, struct report *r)
{
	char name[16];
	char *line;

	while ((line = lines_next(&destination.console))[0] == '#')
		printf("# guest: %s\n", line + 2);
	if (sscanf(line, "%15s done %lu failed %lu own %lu bad %lu", name,
		   &r->done, &r->failed, &r->own, &r->bad) != 5)
		printf("# guest: %s\n", line);
	else
		CHECK(!strcmp(name, when));
}

static void start(void)
{
	vmm_start(&source, &setup, false);
	vmm_start(&destination, &setup, true);
	CHECK(!strcmp(lines_next(&source.console), "running"));
}

static void set_limits(unsigned long bandwidth, unsigned int downtime)
{
	qmp_call(&source.qmp,
		 "{ \"execute\": \"migrate-set-parameters\","
		 " \"arguments\": { \"max-bandwidth\": %lu,"
		 " \"downtime-limit\": %u } }",
		 bandwidth, downtime);
}

/* Begin a migration without a destination, and cancel it in its second round. */
static void transfer_in_vain(void)
{
	struct qmp *q = &source.qmp;

	qmp_call(q, "{ \"execute\": \"migrate\","
		    " \"arguments\": { \"uri\": \"exec:cat >/dev/null\" } }");
	while (q->pass < 2)
		qmp_wait(q);
	qmp_call(q, "{ \"execute\": \"migrate_cancel\" }");
	while (strcmp(q->status, "cancelled"))
		qmp_wait(q);
	q->pass = 0;
}

static void transfer(void)
{
	struct qmp *q = &source.qmp;

	unlink(SOCKET);
	set_limits(BANDWIDTH, DOWNTIME);
	if (vain())
		transfer_in_vain();
	qmp_call(&destination.qmp,
		 "{ \"execute\": \"migrate-incoming\","
		 " \"arguments\": { \"uri\": \"unix:" SOCKET "\" } }");
	qmp_call(q, "{ \"execute\": \"migrate\","
		    " \"arguments\": { \"uri\": \"unix:" SOCKET "\" } }");
	while (q->pass < ROUNDS) {
		qmp_wait(q);
		CHECK(strcmp(q->status, "failed") &&
		      strcmp(q->status, "completed"));
	}
	set_limits(BANDWIDTH, DOWNTIME_AT_END);
	while (strcmp(q->status, "completed")) {
		qmp_wait(q);
		CHECK(strcmp(q->status, "failed"));
	}
}

/* Print a line of the table. */
enum {
	ROUND,
	RAM,
	VFIO,
	DOWN,
	TOTAL,
	DONE,
	FAILED,
	BAD,
	DIRTY,
	MAP,
	UNMAP,
	ALL,
	COLUMNS
};
static double sums[COLUMNS];
static unsigned int summed;

static void print_row(const char *name, const double *row, double by)
{
	int i;

	printf("# %-8s", name);
	for (i = 0; i < COLUMNS; i++)
		printf(" %7.*f", i == RAM || by != 1 ? 1 : 0, row[i] / by);
	printf("\n");
}

static void print_head(void)
{
	printf("# %-8s %7s %7s %7s %7s %7s %7s %7s %7s %7s %7s %7s %7s\n",
	       "run", "rounds", "RAM MiB", "vfio B", "down ms", "all ms",
	       "writes", "failed", "bad", "dirty", "map", "unmap", "ioctls");
}

/* Print the run's line and add it to the sums. Return: number of UNMAP_DMA calls */
static long show(const char *info, const struct report *arrived)
{
	double row[COLUMNS] = {
		[ROUND] = json_number(info, "ram", "dirty-sync-count"),
		[RAM] = json_number(info, "ram", "transferred") / 1048576.0,
		[VFIO] = json_number(info, "vfio", "transferred"),
		[DOWN] = json_number(info, NULL, "downtime"),
		[TOTAL] = json_number(info, NULL, "total-time"),
		[DONE] = arrived->done,
		[FAILED] = arrived->failed,
		[BAD] = arrived->bad,
	};
	struct ioctls n;
	char name[16];
	int i;

	ioctls_read(&n);
	row[DIRTY] = n.dirty;
	row[MAP] = n.map;
	row[UNMAP] = n.unmap;
	row[ALL] = n.all;
	snprintf(name, sizeof(name), "%u", number);
	print_row(name, row, 1);
	for (i = 0; i < COLUMNS; i++)
		sums[i] += row[i];
	summed++;
	return n.unmap;
}

static void print_mean(void)
{
	const char *driver = getenv("DMATRACK_DRIVER");

	if (summed > 1)
		print_row(driver ? driver : "mean", sums, summed);
}

/* The watcher saw what the device wrote, in harvests of its own. */
static void check_watcher(void)
{
	struct watched seen;

	watch_end(&seen);
	printf("# watched: %lu harvests, %lu dirty pages\n", seen.harvests,
	       seen.pages);
	CHECK_EQ(seen.error, 0);
	CHECK(seen.harvests > 2);
	CHECK(seen.pages > 0);
}

static void take_snapshots(void)
{
	unsigned int i;

	for (i = 1; i <= snapshots; i++)
		CHECK_EQ(snapshot_take(source.pid, i), 0);
}

/* One run, from start to end */
static void run(void)
{
	struct report arrived, later;
	const char *info;
	long unmaps;

	ioctls_start();
	start();
	take_snapshots();
	if (watched)
		watch_start(source.pid);
	transfer();
	if (watched)
		check_watcher();
	read_report("arrived", &arrived);
	read_report("later", &later);
	info = qmp_call(&source.qmp, "{ \"execute\": \"query-migrate\" }");
	unmaps = show(info, &arrived);

	CHECK(json_number(info, "ram", "dirty-sync-count") >= ROUNDS);
	CHECK(json_number(info, "vfio", "transferred") > 0);
	CHECK(later.done > arrived.done && later.own > arrived.own);
	if (setup.iommu)
		CHECK(unmaps < 0 || unmaps > 200);
	else
		CHECK_EQ(later.failed, 0);
	if (lost) {
		CHECK(arrived.bad > 0);
	} else {
		CHECK_EQ(arrived.bad, 0);
		CHECK_EQ(later.bad, 0);
	}
	vmm_end(&source);
	vmm_end(&destination);
}

/*
 * Loads of the device: pages a second, and KiB that it writes them in. Their migrations end after two to
 * five rounds, the largest sends a third more than the smallest.
 */
static const char *const loads[] = {
	"load=50,1024",	   "load=200,1024",  "load=400,2048",
	"load=400,16384",  "load=700,4096",  "load=1000,2048",
	"load=1000,16384", "load=1300,8192", "load=1600,16384",
	"load=2000,16384",
};
#define NR_LOADS       (sizeof(loads) / sizeof(loads[0]))

#define LOAD_BANDWIDTH (16ul << 20)
#define LOAD_DOWNTIME  300u /* ms */
#define WATCH_SECONDS  8u

static bool is_near(double is, double told)
{
	return told <= is * 1.25 && told >= is * 0.75;
}

/* The load of this run: the runs' loads are spread over all of them */
static const char *load(void)
{
	return loads[(number - 1) * NR_LOADS / runs];
}

/* A migration took what watch had foretold. */
static void run_foretold(void)
{
	struct qmp *q = &source.qmp;
	double ms, bytes;
	struct foretold f;
	const char *info;

	setup.append = load();
	vmm_start(&source, &setup, false);
	CHECK(!strcmp(lines_next(&source.console), "running"));
	foretell(source.pid, WATCH_SECONDS, LOAD_BANDWIDTH, LOAD_DOWNTIME, &f);
	set_limits(LOAD_BANDWIDTH, LOAD_DOWNTIME);
	qmp_call(q, "{ \"execute\": \"migrate\","
		    " \"arguments\": { \"uri\": \"exec:cat >/dev/null\" } }");
	while (strcmp(q->status, "completed")) {
		qmp_wait(q);
		CHECK(strcmp(q->status, "failed"));
	}
	info = qmp_call(q, "{ \"execute\": \"query-migrate\" }");
	ms = json_number(info, NULL, "total-time");
	bytes = json_number(info, "ram", "transferred");
	printf("# %s: %.0f ms, %.1f MiB, %llu rounds; foretold %lu ms, %.1f MiB, %lu rounds\n",
	       setup.append, ms, bytes / 1048576,
	       json_number(info, "ram", "dirty-sync-count"), f.ms,
	       f.bytes / 1048576.0, f.rounds);
	CHECK(f.ends);
	CHECK(is_near(ms, f.ms));
	CHECK(is_near(bytes, f.bytes));
	vmm_end(&source);
}

static void show_log(void)
{
	FILE *f = fopen(setup.log, "r");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		printf("# qemu: %s", line);
	if (f)
		fclose(f);
}

static void usage(void)
{
	puts("usage: migrate [--runs N] [--lost] [--iommu] [--watched] [--snapshots N]\n"
	     "               [--qemu PATH] [--guest PATH]\n"
	     "       migrate --foretold [--runs N] [--qemu PATH] [--guest PATH]\n"
	     "\n"
	     "  --runs N      so many migrations (default 1)\n"
	     "  --lost        the type1 driver loses marks: the guest must notice\n"
	     "  --iommu       give the guest an IOMMU, which it uses\n"
	     "  --watched     a view of the source's container harvests ten times a second\n"
	     "  --snapshots N 'dmatrack snapshot' makes N images of the source before each\n"
	     "  --foretold    each migration takes what 'dmatrack watch' foretold; N of ten loads\n"
	     "                (default 10)");
}

static void name_run(char *name, size_t size)
{
	if (foretold)
		snprintf(name, size, "%s: what watch foretold", load());
	else
		snprintf(name, size, "migration %u%s: %s", number,
			 vain() ? ", after one that was given up" : "",
			 lost ? "the guest finds what was lost" :
				"the guest finds every byte right");
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "runs", 1, NULL, 'r' },
						 { "lost", 0, NULL, 'l' },
						 { "iommu", 0, NULL, 'i' },
						 { "qemu", 1, NULL, 'q' },
						 { "guest", 1, NULL, 'g' },
						 { "watched", 0, NULL, 'w' },
						 { "foretold", 0, NULL, 'f' },
						 { "snapshots", 1, NULL, 's' },
						 { 0 } };
	char name[128];
	int c, failed;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			runs = atoi(optarg);
			break;
		case 'l':
			lost = true;
			break;
		case 'i':
			setup.iommu = true;
			break;
		case 'w':
			watched = true;
			break;
		case 's':
			snapshots = atoi(optarg);
			break;
		case 'f':
			foretold = true;
			break;
		case 'q':
			setup.qemu = optarg;
			break;
		case 'g':
			setup.guest = optarg;
			break;
		default:
			usage();
			return 2;
		}
	}
	vmm_init(&source);
	vmm_init(&destination);
	if (!runs)
		runs = foretold ? NR_LOADS : 1;
	if (runs > NR_LOADS && foretold)
		runs = NR_LOADS;
	if (!foretold)
		print_head();
	for (number = 1; number <= runs; number++) {
		name_run(name, sizeof(name));
		remove(setup.log);
		failed = tap_failed;
		TEST((foretold ? run_foretold : run), name);
		if (tap_failed > failed)
			show_log();
		vmm_kill(&source);
		vmm_kill(&destination);
	}
	print_mean();
	return tap_done();
}
