#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "files.h"

/* Of long ago, so that a write shows. */
static void age(const char *path)
{
	struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

	CHECK(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0);
}

static bool untouched(const char *path)
{
	struct stat stat;

	CHECK(lstat(path, &stat) == 0);
	return stat.st_mtim.tv_sec == 1000;
}

static bool holds(const char *path, const char *expected)
{
	char text[8192];

	return file_read(path, text, sizeof text) == (ssize_t)strlen(expected) &&
	       strcmp(text, expected) == 0;
}

static bool replace(const char *path, const char *text)
{
	return file_replace(path, text, strlen(text), 0644) == 0;
}

static void the_right_text_is_left_alone(void)
{
	static char text[5000];

	CHECK(replace("a", "one\n"));
	age("a");
	CHECK(replace("a", "one\n") && untouched("a"));
	CHECK(replace("a", "two\n") && !untouched("a") && holds("a", "two\n"));
	CHECK(replace("a", "longer\n") && holds("a", "longer\n"));
	CHECK(replace("a", "s\n") && holds("a", "s\n"));
	CHECK(replace("a", "") && holds("a", ""));
	/* A difference at the very end of what is more than one read. */
	memset(text, 'x', sizeof text - 1);
	CHECK(replace("a", text));
	age("a");
	CHECK(replace("a", text) && untouched("a"));
	text[sizeof text - 2] = 'y';
	CHECK(replace("a", text) && !untouched("a") && holds("a", text));
}

static void what_is_no_plain_file_gives_way(void)
{
	struct stat stat;

	CHECK(replace("target", "kept\n"));
	CHECK(symlink("target", "link") == 0);
	CHECK(replace("link", "kept\n"));
	CHECK(lstat("link", &stat) == 0 && S_ISREG(stat.st_mode));
	CHECK(mkfifo("fifo", 0600) == 0);
	CHECK(replace("fifo", "text\n") && holds("fifo", "text\n"));
	CHECK(link("target", "second") == 0);
	CHECK(replace("second", "own\n") && holds("target", "kept\n"));
	CHECK(mkdir("directory", 0700) == 0);
	CHECK(!replace("directory", "text\n"));
}

static void only_whole_plain_files_are_read(void)
{
	char text[6];

	CHECK(replace("five", "12345"));
	CHECK(file_read_plain("five", text, sizeof text) == 5 && strcmp(text, "12345") == 0);
	CHECK(file_read_plain("five", text, 5) < 0 && errno == EINVAL && !text[0]);
	CHECK(file_read_plain("directory", text, sizeof text) < 0 && errno == EINVAL);
	CHECK(file_read_plain("none", text, sizeof text) < 0 && errno == ENOENT);
	CHECK(mkfifo("pipe", 0600) == 0);
	CHECK(file_read_plain("pipe", text, sizeof text) < 0 && errno == EINVAL);
}

static void count_line(char *line, void *context)
{
	size_t *counts = context;

	counts[0]++;
	counts[1] += strlen(line);
}

static void lines_are_visited(void)
{
	static char text[40000];
	size_t counts[2] = { 0, 0 };

	/* More than is read at once, so that lines lie across the seams. */
	for (size_t i = 0; i < sizeof text - 1; i++)
		text[i] = i % 100 == 99 ? '\n' : 'x';
	CHECK(replace("lines", text));
	file_each_line("lines", count_line, counts);
	CHECK(counts[0] == 399 && counts[1] == 399 * 99); /* the rest is no whole line */
	file_each_line("none", count_line, counts);
	CHECK(counts[0] == 399);
}

void test_files(void)
{
	char directory[] = "/tmp/banger-files-XXXXXX", command[64];
	char *before = getcwd(NULL, 0);

	CHECK(before && mkdtemp(directory) && chdir(directory) == 0);
	the_right_text_is_left_alone();
	what_is_no_plain_file_gives_way();
	only_whole_plain_files_are_read();
	lines_are_visited();
	CHECK(chdir(before) == 0);
	snprintf(command, sizeof command, "rm -rf %s", directory);
	CHECK(system(command) == 0);
	free(before);
}
