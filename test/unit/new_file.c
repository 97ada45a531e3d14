// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * New files of the command: on disk before they have their name, readable by their owner
 * alone, and never replacing another file. The disk is played: fsync() records its calls,
 * and fails on order.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/common/cli.h"
#include "cli/common/new_file.h"
#include "test/scratch.h"
#include "test/tap.h"

static char said[512];

void cli_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
}

/* The calls of fsync(): 'f' a file without its name yet, 'F' with its name, 'd' a folder */
static char synced[8];
static char fails;
static const char *name;

int fsync(int fd)
{
	struct stat st, named;
	char what = 'd';

	CHECK_EQ(fstat(fd, &st), 0);
	if (S_ISREG(st.st_mode))
		what = !lstat(name, &named) && named.st_ino == st.st_ino ? 'F' :
									   'f';
	if (what == fails) {
		errno = EIO;
		return -1;
	}
	synced[strlen(synced)] = what;
	return 0;
}

static void begin(struct new_file *f, const char *file, bool replace)
{
	memset(synced, 0, sizeof(synced));
	fails = 0;
	said[0] = 0;
	name = file;
	CHECK_EQ(cli_new_file_open(f, file, replace), 0);
	CHECK_EQ(write(f->fd, "new", 3), 3);
}

static void put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	CHECK_EQ(write(fd, text, 3), 3);
	close(fd);
}

static bool holds(const char *file, const char *text)
{
	int fd = open(file, O_RDONLY);
	char got[4] = "";

	if (fd < 0)
		return false;
	CHECK(read(fd, got, sizeof(got)) <= 4);
	close(fd);
	return !memcmp(got, text, 4);
}

/* No temporary file of that name is left. */
static void alone(const char *file)
{
	char command[700];

	snprintf(command, sizeof(command),
		 "test -z \"$(ls -d '%s'.* 2>/dev/null)\"", file);
	CHECK_EQ(system(command), 0);
}

static void test_order(void)
{
	const char *file = scratch_path("order");
	struct new_file f;
	struct stat st;

	begin(&f, file, false);
	CHECK_EQ(access(file, F_OK), -1);
	CHECK_EQ(cli_new_file_close(&f, 0), 0);
	CHECK(!strcmp(synced, "fd"));
	CHECK(holds(file, "new"));
	CHECK_EQ(stat(file, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0600);
	alone(file);
}

static void test_failed(void)
{
	const char *file = scratch_path("failed");
	struct new_file f;

	begin(&f, file, false);
	CHECK_EQ(cli_new_file_close(&f, CLI_NO), CLI_NO);
	CHECK_EQ(access(file, F_OK), -1);
	begin(&f, file, false);
	fails = 'f';
	CHECK_EQ(cli_new_file_close(&f, 0), CLI_FAILED);
	CHECK(strstr(said, "disk"));
	CHECK_EQ(access(file, F_OK), -1);
	alone(file);
}

/* The file is complete, and the message says so. */
static void test_unsure(void)
{
	const char *file = scratch_path("unsure");
	struct new_file f;

	begin(&f, file, false);
	fails = 'd';
	CHECK_EQ(cli_new_file_close(&f, 0), CLI_UNSURE);
	CHECK(strstr(said, "is complete"));
	CHECK(holds(file, "new"));
	alone(file);
}

static void test_overtaken(void)
{
	const char *file = scratch_path("overtaken");
	struct new_file f;

	begin(&f, file, false);
	put(file, "old");
	CHECK_EQ(cli_new_file_close(&f, 0), CLI_FAILED);
	CHECK(strstr(said, "already"));
	CHECK(holds(file, "old"));
	CHECK_EQ(cli_new_file_open(&f, file, false), CLI_FAILED);
	begin(&f, file, true);
	CHECK(holds(file, "old"));
	CHECK_EQ(cli_new_file_close(&f, 0), 0);
	CHECK(holds(file, "new"));
	alone(file);
}

/* A link isn't followed, whatever its target. */
static void test_links(void)
{
	const char *link = scratch_path("link"), *file = scratch_path("linked");
	struct new_file f;
	struct stat st;

	put(file, "old");
	CHECK_EQ(symlink(file, link), 0);
	CHECK_EQ(cli_new_file_open(&f, link, false), CLI_FAILED);
	begin(&f, link, true);
	CHECK_EQ(cli_new_file_close(&f, 0), 0);
	CHECK(holds(file, "old"));
	CHECK(holds(link, "new"));
	CHECK_EQ(lstat(link, &st), 0);
	CHECK(S_ISREG(st.st_mode));
	unlink(link);
	CHECK_EQ(symlink(scratch_path("nowhere"), link), 0);
	CHECK_EQ(cli_new_file_open(&f, link, false), CLI_FAILED);
	CHECK_EQ(access(scratch_path("nowhere"), F_OK), -1);
}

static void test_no_file(void)
{
	struct new_file f;

	begin(&f, "/dev/null", false);
	CHECK(!f.temp);
	CHECK_EQ(cli_new_file_close(&f, 0), 0);
	CHECK_EQ(cli_new_file_open(&f, scratch_path("no/such"), true),
		 CLI_FAILED);
	CHECK_EQ(cli_new_file_open(&f, scratch, true), CLI_FAILED);
}

int main(void)
{
	scratch_make(NULL);
	TEST(test_order, "data is on disk before the file gets its name");
	TEST(test_failed, "a failure leaves no file");
	TEST(test_unsure, "a folder that can't be synced");
	TEST(test_overtaken, "a file that gets the name first stays");
	TEST(test_links, "links aren't followed");
	TEST(test_no_file, "devices, and files that can't be opened");
	return tap_done();
}
