/* Each kind of thing renamed over each other kind. */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NO_REPLACE = 1, EXCHANGE = 2, WHITEOUT = 4 };

static int rename_flags(const char *from, const char *to, unsigned flags)
{
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void put(const char *kind, const char *path)
{
	char below[64];

	snprintf(below, sizeof below, "%s/below", path);
	if (strcmp(kind, "file") == 0)
		make(path, path);
	else if (strcmp(kind, "link") == 0)
		symlink("target", path);
	else if (strcmp(kind, "empty") == 0 || strcmp(kind, "full") == 0)
		mkdir(path, 0755);
	if (strcmp(kind, "full") == 0)
		make(below, "x");
}

static void each_over_each(unsigned flags, const char *topic)
{
	static const char *const KINDS[] = {"file", "link", "empty", "full", "nothing"};
	enum { COUNT = sizeof KINDS / sizeof *KINDS };
	char from[32], to[32], what[80];

	enter(topic);
	for (int i = 0; i < COUNT; i++)
		for (int j = 0; j < COUNT; j++) {
			snprintf(from, sizeof from, "from-%d-%d", i, j);
			snprintf(to, sizeof to, "to-%d-%d", i, j);
			put(KINDS[i], from);
			put(KINDS[j], to);
			snprintf(what, sizeof what, "%s over %s", KINDS[i], KINDS[j]);
			told(what, rename_flags(from, to, flags));
			tell_file(from);
			tell_file(to);
		}
	leave();
}

static void odd_ones(void)
{
	static char too_long[257];

	memset(too_long, 'n', 256);
	enter("rename");
	make("file", "x");
	mkdir("directory", 0755);
	mkdir("directory/inner", 0755);
	TRY(link("file", "same"));
	TRY(rename("file", "same"));
	tell_file("file");
	tell_file("same");
	TRY(rename("file", "file"));
	TRY(rename("directory", "directory/inner/deeper"));
	TRY(rename("directory/inner", "directory"));
	TRY(rename("directory", "."));
	TRY(rename(".", "other"));
	TRY(rename("file/", "other"));
	TRY(rename("file", "other/"));
	TRY(rename("directory", "moved/"));
	TRY(rename("moved/", "directory"));
	TRY(rename("file", "missing/other"));
	TRY(rename("file", "same/other"));
	TRY(rename("file", too_long));
	TRY(rename(too_long, "other"));
	TRY(rename("file", "/proc/other"));
	TRY(rename_flags("file", "other", NO_REPLACE | EXCHANGE));
	TRY(rename_flags("file", "other", WHITEOUT));
	TRY(rename_flags("directory", "directory/inner", EXCHANGE));
	tell_file("directory/inner");
	leave();
}

/* What is open, or where a process is, moves along. */
static void open_ones(void)
{
	char where[400] = "";

	enter("rename-open");
	mkdir("a", 0755);
	mkdir("a/b", 0755);
	make("a/b/file", "old");
	make("new", "newer");
	int file = opened("a/b/file", O_RDWR, 0);
	if (chdir("a/b") != 0)
		return;
	TRY(rename("../../a", "../../z"));
	fact("getcwd", "%s", getcwd(where, sizeof where) ? strstr(where, "rename-open") : "?");
	tell_file("file");
	make("made-here", "x");
	tell_file("../../z/b/made-here");
	TRY(rename("../../new", "file"));
	struct stat found;
	TRY(fstat(file, &found));
	fact("the replaced file", "%ld bytes, %lu names", (long)found.st_size, (unsigned long)found.st_nlink);
	TRY(pwrite(file, "still", 5, 0));
	tell_file("file");
	close(file);
	if (chdir("../..") != 0)
		return;
	leave();
}

void cases_of_renames(void)
{
	each_over_each(0, "rename-over");
	each_over_each(NO_REPLACE, "rename-no-replace");
	each_over_each(EXCHANGE, "rename-exchange");
	odd_ones();
	open_ones();
}
