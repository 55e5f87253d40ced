/* Directories: listed whole, also while they change; and those that are gone. */
#include "calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { MANY = 700 };

static int count_entries(DIR *directory)
{
	int count = 0;

	while (readdir(directory))
		count++;
	return count;
}

static void many(void)
{
	char name[32];
	int kinds[3] = {0}, again = 0;

	enter("many");
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "entry-%d", i);
		if (i % 3 == 0)
			make(name, "x");
		else if (i % 3 == 1)
			mkdir(name, 0755);
		else
			symlink("x", name);
	}
	DIR *directory = opendir(".");
	long place = 0;
	char at_place[256] = "";
	for (struct dirent *entry; (entry = readdir(directory));) {
		kinds[0] += entry->d_type == DT_REG;
		kinds[1] += entry->d_type == DT_DIR;
		kinds[2] += entry->d_type == DT_LNK;
		if (++again == 300)
			place = telldir(directory);
		if (again == 301)
			snprintf(at_place, sizeof at_place, "%s", entry->d_name);
	}
	fact("kinds", "%d files, %d directories, %d links", kinds[0], kinds[1], kinds[2]);
	seekdir(directory, place);
	struct dirent *entry = readdir(directory);
	fact("seekdir leads back", "%d", entry && strcmp(entry->d_name, at_place) == 0);
	rewinddir(directory);
	make("late", "x");
	rewinddir(directory);
	fact("with a late one", "%d", count_entries(directory));
	rewinddir(directory);
	int removed = 0;
	while ((entry = readdir(directory)))
		if (strncmp(entry->d_name, "entry-", 6) == 0)
			removed += (unlink(entry->d_name) == 0 || rmdir(entry->d_name) == 0);
	fact("removed while listed", "%d", removed);
	rewinddir(directory);
	fact("what is left", "%d", count_entries(directory));
	closedir(directory);
	leave();
}

static void gone(void)
{
	struct stat found;

	enter("gone");
	mkdir("directory", 0755);
	int directory = opened("directory", O_RDONLY | O_DIRECTORY, 0);
	TRY(rmdir("directory"));
	TRY(fstat(directory, &found));
	TRY(openat(directory, "new", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	TRY(mkdirat(directory, "new", 0755));
	TRY(openat(directory, "..", O_RDONLY | O_CLOEXEC));
	TRY(openat(directory, ".", O_RDONLY | O_CLOEXEC));
	DIR *listed = fdopendir(directory);
	fact("entries", "%d", count_entries(listed));
	closedir(listed);
	mkdir("directory", 0755);
	if (chdir("directory") != 0)
		return;
	TRY(rmdir("../directory"));
	TRY(stat(".", &found));
	TRY(mkdir("below", 0755));
	TRY(chdir(".."));
	if (!is_there("../gone"))
		return;
	leave();
}

static void watching(void)
{
	char events[4096];
	uint32_t seen = 0;

	enter("inotify");
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	TRY(inotify_add_watch(watch, ".", IN_CREATE | IN_MODIFY | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB));
	make("file", "x");
	chmod("file", 0600);
	rename("file", "moved");
	unlink("moved");
	for (ssize_t length; (length = read(watch, events, sizeof events)) > 0;)
		for (ssize_t at = 0; at < length;) {
			struct inotify_event event;

			memcpy(&event, events + at, sizeof event);
			seen |= event.mask;
			at += (ssize_t)(sizeof event + event.len);
		}
	fact("heard", "%x", seen);
	close(watch);
	leave();
}

void cases_of_directories(void)
{
	many();
	gone();
	watching();
}
