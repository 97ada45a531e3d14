// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The fuzzer of type1 and dmatrack calls, on the engine or on the kernel's driver.
 * Two kinds of rounds: at random, by many threads; and exact, by one thread whose
 * every answer is compared with a model (test/exact). Prints TAP. The seed is printed
 * first; a failure prints how to repeat its round, and the last calls.
 */
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dmatrack_engine.h"
#include "lib/util/clock.h"
#include "test/exact/exact.h"
#include "test/exact/model.h"

#include "calls.h"

/**
 * struct run - rounds of one kind
 * @name: name of the kind, and of its option
 * @round: runs a round in the calling process, returns the exit status
 * @engine: number of calls of a round on the engine
 * @kernel: number of calls of a round on the kernel's driver
 */
struct run {
	const char *name;
	int (*round)(const struct setup *s, struct news *news);
	unsigned long engine;
	unsigned long kernel;
};

static struct news *news;
static struct setup setup = { .threads = 4 };
static unsigned long calls_wanted, seconds = 10;
static unsigned int
	memory; /* MiB of the kernel's for every other round; 0: any amount */
static unsigned int rounds, killed;
static unsigned long calls_made;

/* Exact rounds ------------------------------------------------------------- */

static int open_exact(struct exact_setup *e)
{
	unsigned int tries = 0;
	int ret;

	if (!setup.nr_devices) {
		ret = dmatrack_open_engine(&e->t, VFIO_TYPE1v2_IOMMU,
					   DMATRACK_ENGINE_CHECKED);
		return ret ? ret : dev_open(&e->d, e->t);
	}
	do
		ret = dmatrack_open_vfio(&e->t, setup.device[0],
					 VFIO_TYPE1v2_IOMMU);
	while (ret == -EBUSY && ++tries < 1000000 && !sched_yield());
	return ret ? ret : dev_open(&e->d, e->t);
}

static int exact_round(const struct setup *s, struct news *n)
{
	struct exact_setup e = {
		.calls = s->calls,
		.seed = s->seed,
		.base = 64 * MiB,
		.refused = true,
	};
	int ret = open_exact(&e);

	if (ret) {
		snprintf(n->wrong, sizeof(n->wrong), "no container: %s",
			 strerror(-ret));
		return 1;
	}
	e.plain = !strcmp(dmatrack_driver(e.t), "stock");
	e.views = !e.plain && s->seed / 2 % 2;
	if (!e.plain && s->seed % 2) /* the window ends at the last IOVA */
		e.base = 0 - MODEL_WINDOW * MODEL_PAGE;
	n->calls[0] = exact_run(&e, n->wrong);
	if (*n->wrong)
		return 1;
	dev_close(e.d);
	dmatrack_close(e.t);
	n->ended = true;
	return 0;
}

static const struct run runs[] = {
	{ "random", round_run, 200000, 4000 },
	{ "exact", exact_round, 20000, 10000 },
};
#define RUNS (sizeof(runs) / sizeof(*runs))

/* Failures ----------------------------------------------------------------- */

static void print_note(const struct note *n)
{
	printf("#	%s 0x%lx 0x%lx 0x%lx 0x%lx: ", n->name, n->arg[0],
	       n->arg[1], n->arg[2], n->arg[3]);
	if (n->ended)
		printf("%ld\n", n->ret);
	else
		puts("under way");
}

static void print_thread(unsigned int id)
{
	unsigned long end = news->calls[id], n = end > LAST ? end - LAST : 0;

	printf("# thread %u, %lu calls, the last:\n", id, end);
	for (; n < end; n++)
		print_note(&news->note[id][n % LAST]);
}

static void print_failure(const struct run *run, const struct setup *s,
			  int status)
{
	unsigned int i;

	if (WIFSIGNALED(status))
		printf("# ended by %s%s\n", strsignal(WTERMSIG(status)),
		       WTERMSIG(status) == SIGALRM ? ": it hangs" : "");
	else
		printf("# exit status %d\n", WEXITSTATUS(status));
	if (*news->wrong)
		printf("# call %lu: %s\n", news->calls[0], news->wrong);
	for (i = 0; i < THREADS_MAX && run->round == round_run; i++)
		if (news->calls[i])
			print_thread(i);
	printf("# again: calls --%s --seed %lu --calls %lu --threads %u",
	       run->name, s->seed, s->calls, s->threads);
	if (s->memory)
		printf(" --memory %u", s->memory);
	for (i = 0; i < s->nr_devices; i++)
		printf(" --device %s", s->device[i]);
	puts("");
}

/* Rounds ------------------------------------------------------------------- */

static int child(const struct run *run, const struct setup *s)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return run->round(s, news);
}

static void count_calls(void)
{
	unsigned int i;

	for (i = 0; i < THREADS_MAX; i++)
		calls_made += news->calls[i];
	rounds++;
}

/* Did the round run to its end, or kill itself? */
static bool is_fine(int status)
{
	if (!status && news->ended)
		return true;
	killed += news->killed;
	return news->killed && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGKILL;
}

static bool one_round(const struct run *run, const struct setup *s)
{
	int status;
	pid_t pid;

	memset(news, 0, sizeof(*news));
	fflush(stdout);
	pid = fork();
	if (!pid)
		exit(child(run, s)); /* exit() has leaks searched for */
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("calls");
		exit(2);
	}
	kill(-pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	count_calls();
	if (is_fine(status))
		return true;
	print_failure(run, s, status);
	return false;
}

static bool is_enough(uint64_t began)
{
	if (calls_wanted)
		return calls_made >= calls_wanted;
	return dml_clock_now() - began >= seconds * DML_NSEC;
}

/* Return: false if a round has failed */
static bool run_rounds(const struct run *run, unsigned int number)
{
	unsigned long max = setup.nr_devices ? run->kernel : run->engine;
	struct setup s = setup;
	uint64_t began = dml_clock_now();
	bool ok = true;

	rounds = killed = calls_made = 0;
	while (ok && !is_enough(began)) {
		s.calls = max;
		s.memory = s.seed % 2 ? memory : 0;
		if (calls_wanted && calls_wanted - calls_made < max)
			s.calls = calls_wanted - calls_made;
		ok = one_round(run, &s);
		s.seed++;
	}
	printf("# %lu calls in %u rounds, %u killed; %lu s\n", calls_made,
	       rounds, killed,
	       (unsigned long)((dml_clock_now() - began) / DML_NSEC));
	printf("%sok %u - %s calls of %s\n", ok ? "" : "not ", number,
	       run->name,
	       setup.nr_devices ? "the kernel's driver" : "the engine");
	return ok;
}

static void usage(void)
{
	fputs("usage: calls [--random | --exact] [--device UUID|PCI-ADDRESS]...\n"
	      "             [--seed N] [--calls N | --seconds N] [--threads N]\n"
	      "             [--memory MIB]\n"
	      "\n"
	      "Random calls on the engine, or on the kernel's type1 driver: a mediated\n"
	      "device is used; others come and go. Both kinds of rounds\n"
	      "unless one is named; of each so many calls or seconds (10). --memory: every\n"
	      "other round, the kernel has so little of it for the container.\n",
	      stderr);
	exit(2);
}

static const struct option options[] = {
	{ "random", no_argument, NULL, 'r' },
	{ "exact", no_argument, NULL, 'e' },
	{ "device", required_argument, NULL, 'd' },
	{ "seed", required_argument, NULL, 's' },
	{ "calls", required_argument, NULL, 'c' },
	{ "seconds", required_argument, NULL, 't' },
	{ "threads", required_argument, NULL, 'p' },
	{ "memory", required_argument, NULL, 'm' },
	{ 0 },
};

/* A PCI device, by an address with a dot, goes behind the mediated ones. */
static void add_device(const char *name)
{
	unsigned int at = strchr(name, '.') ? setup.nr_devices : 0;

	if (setup.nr_devices == DEVICES_MAX)
		usage();
	memmove(&setup.device[at + 1], &setup.device[at],
		(setup.nr_devices++ - at) * sizeof(name));
	setup.device[at] = name;
}

/* Take one option. Return: the kind of rounds that it names, or NULL */
static const struct run *take(int option)
{
	switch (option) {
	case 'r':
		return &runs[0];
	case 'e':
		return &runs[1];
	case 'd':
		add_device(optarg);
		return NULL;
	case 's':
		setup.seed = strtoull(optarg, NULL, 0);
		return NULL;
	case 'c':
		calls_wanted = strtoul(optarg, NULL, 0);
		return NULL;
	case 't':
		seconds = strtoul(optarg, NULL, 0);
		return NULL;
	case 'p':
		setup.threads = strtoul(optarg, NULL, 0);
		return NULL;
	case 'm':
		memory = strtoul(optarg, NULL, 0);
		return NULL;
	default:
		usage();
		return NULL;
	}
}

int main(int argc, char **argv)
{
	const struct run *only = NULL;
	unsigned int i, number = 0;
	bool ok = true;
	int option;

	setup.seed = time(NULL);
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		const struct run *named = take(option);

		only = named ? named : only;
	}
	if (optind < argc || !setup.threads || setup.threads >= THREADS_MAX)
		usage();
	news = mmap(NULL, sizeof(*news), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (news == MAP_FAILED)
		return 2;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	printf("# seed %lu\n", setup.seed);
	for (i = 0; i < RUNS; i++)
		if (!only || only == &runs[i])
			ok &= run_rounds(&runs[i], ++number);
	printf("1..%u\n", number);
	return !ok;
}
