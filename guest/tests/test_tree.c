#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archives.h"
#include "check.h"
#include "tree.h"

static int list(int argc, char **argv)
{
	return argc == 1 ? tree_write(open(argv[0], O_RDONLY | O_DIRECTORY)) : 2;
}

/* The facts of the entry with this path and target, or NULL. */
static const char *facts_of(const char *path, const char *target)
{
	const char *at = (const char *)archive, *end = at + archive_length;

	while (at < end) {
		const char *name = at + strlen(at) + 1, *link = name + strlen(name) + 1;

		CHECK(link < end);
		if (strcmp(name, path) == 0 && strcmp(link, target) == 0)
			return at;
		at = link + strlen(link) + 1;
	}
	return NULL;
}

static void all_kinds_are_listed(void)
{
	const char *facts;
	char expected[256];
	struct stat stat_;

	CHECK(mkdir("tree", 0755) == 0 && mkdir("tree/dir", 0700) == 0 && chmod("tree/dir", 01700) == 0);
	write_file("tree/dir/\xe9\n", "contents", 0640);
	CHECK(symlink("/nowhere", "tree/link") == 0 && mkfifo("tree/fifo", 0600) == 0);
	CHECK(mkdir("tree/closed", 0) == 0);
	CHECK(run(list, "tree", false) == (geteuid() ? 1 : 0));
	CHECK(archive_length && archive[archive_length - 1] == 0);

	snprintf(expected, sizeof expected, "d 1700 %u %u", geteuid(), getegid());
	CHECK((facts = facts_of("dir", "")) && strcmp(facts, expected) == 0);
	CHECK(lstat("tree/dir/\xe9\n", &stat_) == 0);
	snprintf(expected, sizeof expected, "f 640 %u %u 0:0 8 %lld.%09ld %lld.%09ld", geteuid(), getegid(),
		 (long long)stat_.st_mtim.tv_sec, stat_.st_mtim.tv_nsec, (long long)stat_.st_ctim.tv_sec,
		 stat_.st_ctim.tv_nsec);
	CHECK((facts = facts_of("dir/\xe9\n", "")) && strcmp(facts, expected) == 0);
	CHECK((facts = facts_of("link", "/nowhere")) && facts[0] == 'l');
	CHECK((facts = facts_of("fifo", "")) && facts[0] == 'p');
	CHECK(facts_of("closed", "") && !facts_of("", "") && !facts_of(".", ""));
	CHECK(chmod("tree/closed", 0700) == 0);
}

static void other_contents_show_in_the_time_of_change(void)
{
	struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1000000000 } };
	char before[256];
	int fd;

	write_file("tree/same", "one", 0644);
	CHECK(utimensat(AT_FDCWD, "tree/same", times, 0) == 0 && run(list, "tree", false) == 0);
	snprintf(before, sizeof before, "%s", facts_of("same", ""));
	usleep(20000); /* the kernel's clock for files ticks every few milliseconds */
	fd = open("tree/same", O_WRONLY);
	CHECK(fd >= 0 && write(fd, "two", 3) == 3 && close(fd) == 0);
	CHECK(utimensat(AT_FDCWD, "tree/same", times, 0) == 0 && run(list, "tree", false) == 0);
	CHECK(strcmp(before, facts_of("same", "")) != 0);
	CHECK(strstr(before, " 3 1000000000.000000000 "));
}

/* More than one buffer has room for. */
static void a_deep_tree_is_listed(void)
{
	enum { DEPTH = 18, FILES = 100 };
	char name[201];
	int directory = open("tree", O_RDONLY | O_DIRECTORY);
	size_t found = 0;

	memset(name, 'n', 200);
	name[200] = 0;
	for (int depth = 0; depth < DEPTH; depth++) {
		int next;

		CHECK(mkdirat(directory, name, 0755) == 0);
		next = openat(directory, name, O_RDONLY | O_DIRECTORY);
		close(directory);
		directory = next;
	}
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof name, "%d", i);
		CHECK(symlinkat(name, directory, name) == 0);
	}
	close(directory);
	CHECK(run(list, "tree", false) == 0);
	for (const char *at = (const char *)archive; at < (const char *)archive + archive_length;
	     at += strlen(at) + 1)
		found += strlen(at) > DEPTH * 201;
	CHECK(found == FILES && archive_length > FILES * DEPTH * 200);
}

void test_tree(void)
{
	enter_scratch();
	all_kinds_are_listed();
	other_contents_show_in_the_time_of_change();
	a_deep_tree_is_listed();
	leave_scratch();
}
