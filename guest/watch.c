/* watch: tells what changes in a directory, until stdin ends or the directory is gone. For each event three texts, each
 * with a NUL at its end: the kind, the path below the directory, and of `moved` the new path. Kinds are `ready` (from
 * now on nothing is missed), `created`, `modified`, `deleted`, `moved`, and `overflow` (events were lost).
 *
 * With --recursive also in what is below, on the same file system. Links are followed at the path itself alone. */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "applet.h"
#include "fd.h"
#include "files.h"
#include "texts.h"

enum {
	BUCKETS = 1024,
	PLACES_MAX = 16384,
	EVENTS_SIZE = 65536,
	PAIR_MS = 20, /* both halves of a rename are put into the kernel's queue at once */
	CHANGES = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF |
		  IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK,
};

/* A directory that is watched. */
struct place {
	struct place *next;     /* in its bucket */
	struct place *unlisted; /* the next one that was not looked into yet */
	struct place *above;    /* NULL: the directory of the request */
	int watch;
	bool doomed;
	char name[NAME_MAX + 1];
};

/* The first half of a rename. */
static struct {
	bool is_there, is_directory;
	uint32_t cookie;
	int watch;
	char name[NAME_MAX + 1], path[PATH_MAX];
} left;

static struct place *buckets[BUCKETS], *unlisted;
static size_t places;
static const char *directory;
static bool recursive, ended;
static dev_t device;
static int notify = -1, failure;
static char modified[PATH_MAX]; /* told since the last wait */

static void fail(const char *path, int number)
{
	char line[512];
	int length = snprintf(line, sizeof line, "watch: %.400s: %s\n", path, strerror(number));

	failure = path_failure(number);
	ended = true;
	if (write_all(2, line, (size_t)length) < 0)
		return;
}

static void tell(const char *kind, const char *path, const char *moved_to)
{
	text_put(kind);
	text_put(path);
	text_put(moved_to);
	modified[0] = 0;
}

static struct place **bucket_of(int watch)
{
	return &buckets[(unsigned)watch % BUCKETS];
}

static struct place *find(int watch)
{
	struct place *place = *bucket_of(watch);

	while (place && place->watch != watch)
		place = place->next;
	return place;
}

/* The path of an entry of the place, below the directory of the request. False if it is too long. */
static bool path_of(const struct place *place, const char *name, char *path)
{
	char text[PATH_MAX];
	size_t at = sizeof text;

	text[--at] = 0;
	for (; place; name = place->name, place = place->above) {
		size_t length = strlen(name);

		if (at < length + 1)
			return false;
		if (text[at] && length)
			text[--at] = '/';
		at -= length;
		memcpy(text + at, name, length);
	}
	memcpy(path, text + at, sizeof text - at);
	return true;
}

/* The same for system calls. */
static bool whole_path_of(const struct place *place, const char *name, char *path)
{
	char below[PATH_MAX];

	if (!path_of(place, name, below))
		return false;
	return snprintf(path, PATH_MAX, "%s%s%s", directory, below[0] ? "/" : "", below) < PATH_MAX;
}

/* Watches a directory that was not watched before, and queues it to be looked into. What is gone by now is left out, as
 * is what another file system has, and what is watched under another name. */
static void add(struct place *above, const char *name)
{
	char path[PATH_MAX];
	struct place *place;
	struct stat stat;
	int watch;

	if (!whole_path_of(above, name, path) || lstat(path, &stat) < 0 || !S_ISDIR(stat.st_mode) ||
	    stat.st_dev != device)
		return;
	watch = inotify_add_watch(notify, path, CHANGES | IN_DONT_FOLLOW);
	if (watch < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			fail(path, errno);
		return;
	}
	if (find(watch))
		return;
	place = places < PLACES_MAX ? calloc(1, sizeof *place) : NULL;
	if (!place) {
		fail("more directories than can be watched", ENOSPC);
		return;
	}
	places++;
	place->above = above;
	place->watch = watch;
	snprintf(place->name, sizeof place->name, "%s", name);
	place->next = *bucket_of(watch);
	*bucket_of(watch) = place;
	place->unlisted = unlisted;
	unlisted = place;
}

static void look_into(struct place *place, bool new)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *opened = whole_path_of(place, "", path) ? opendir(path) : NULL;

	while (opened && !ended && (entry = readdir(opened))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (new && path_of(place, entry->d_name, path))
			tell("created", path, "");
		if (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN)
			add(place, entry->d_name);
	}
	if (opened)
		closedir(opened);
}

/* Looks into directories until all that is below is watched. What a new one has already is told. */
static void look_into_all(bool new)
{
	while (unlisted && !ended) {
		struct place *place = unlisted;

		unlisted = place->unlisted;
		look_into(place, new);
	}
}

static bool is_below(const struct place *place, const struct place *other)
{
	while (place && place != other)
		place = place->above;
	return place;
}

/* Forgets the place and what is below it; NULL: all. */
static void forget(const struct place *top)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct place *place = buckets[i]; place; place = place->next)
			place->doomed = !top || is_below(place, top);
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct place **at = &buckets[i]; *at;) {
			struct place *place = *at;

			if (!place->doomed) {
				at = &place->next;
				continue;
			}
			*at = place->next;
			inotify_rm_watch(notify, place->watch);
			free(place);
			places--;
		}
	}
}

static struct place *child_of(int watch, const char *name)
{
	const struct place *above = find(watch);

	for (size_t i = 0; above && i < BUCKETS; i++)
		for (struct place *place = buckets[i]; place; place = place->next)
			if (place->above == above && strcmp(place->name, name) == 0)
				return place;
	return NULL;
}

static void begin(void)
{
	struct place *root = calloc(1, sizeof *root);
	struct stat stat_;

	notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (!root || notify < 0 || stat(directory, &stat_) < 0 ||
	    (root->watch = inotify_add_watch(notify, directory, CHANGES)) < 0) {
		fail(directory, errno);
		free(root);
		return;
	}
	device = stat_.st_dev;
	*bucket_of(root->watch) = root;
	places = 1;
	unlisted = recursive ? root : NULL;
	look_into_all(false);
}

/* Events were lost, and with them perhaps directories: begins anew. */
static void begin_again(void)
{
	left.is_there = false;
	unlisted = NULL;
	forget(NULL);
	fd_close(&notify);
	begin();
	if (!ended)
		tell("overflow", "", "");
}

/* The file went elsewhere. */
static void take_leave(void)
{
	struct place *place;

	if (!left.is_there)
		return;
	left.is_there = false;
	tell("deleted", left.path, "");
	place = left.is_directory ? child_of(left.watch, left.name) : NULL;
	if (place)
		forget(place);
}

static void arrive(const struct inotify_event *event, struct place *above, const char *path)
{
	bool is_directory = event->mask & IN_ISDIR;
	struct place *place = NULL;

	if (left.is_there && (event->mask & IN_MOVED_TO)) {
		left.is_there = false;
		tell("moved", left.path, path);
		place = is_directory ? child_of(left.watch, left.name) : NULL;
	} else {
		tell("created", path, "");
	}
	if (place) {
		place->above = above;
		snprintf(place->name, sizeof place->name, "%s", event->name);
	} else if (is_directory && recursive) {
		add(above, event->name);
		look_into_all(true);
	}
}

static void hear_entry(const struct inotify_event *event, struct place *place)
{
	char path[PATH_MAX];

	if (left.is_there && !(event->mask & IN_MOVED_TO && event->cookie == left.cookie))
		take_leave();
	if (!path_of(place, event->name, path))
		return;
	if (event->mask & (IN_CREATE | IN_MOVED_TO)) {
		arrive(event, place, path);
	} else if (event->mask & IN_DELETE) {
		tell("deleted", path, "");
	} else if (event->mask & IN_MOVED_FROM) {
		left.is_there = true;
		left.is_directory = event->mask & IN_ISDIR;
		left.cookie = event->cookie;
		left.watch = event->wd;
		snprintf(left.name, sizeof left.name, "%s", event->name);
		snprintf(left.path, sizeof left.path, "%s", path);
	} else if (event->mask & (IN_MODIFY | IN_ATTRIB) && strcmp(modified, path) != 0) {
		tell("modified", path, "");
		snprintf(modified, sizeof modified, "%s", path);
	}
}

/* False if the events that follow are of no use any more. */
static bool hear(const struct inotify_event *event)
{
	struct place *place = find(event->wd);

	if (event->mask & IN_Q_OVERFLOW) {
		begin_again();
		return false;
	}
	if (!place)
		return true;
	if (!place->above && event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) {
		take_leave();
		tell("deleted", "", "");
		ended = true;
	} else if (event->mask & IN_IGNORED) {
		forget(place);
	} else if (event->len) {
		hear_entry(event, place);
	}
	return !ended;
}

static void hear_all(void)
{
	static char events[EVENTS_SIZE] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t length = read(notify, events, sizeof events);
	const struct inotify_event *event;

	for (char *at = events; at < events + length; at += sizeof *event + event->len) {
		event = (const struct inotify_event *)(const void *)at;
		if (!hear(event))
			return;
	}
}

static bool stdin_ended(void)
{
	char unused[256];

	return read(0, unused, sizeof unused) <= 0;
}

int watch_tree(int argc, char **argv)
{
	int first = argc > 0 && strcmp(argv[0], "--recursive") == 0;

	recursive = first;
	first += first < argc && strcmp(argv[first], "--") == 0;
	if (argc - first != 1) {
		fail("usage: watch [--recursive] [--] PATH", EINVAL);
		return 2;
	}
	directory = argv[first];
	begin();
	if (!ended)
		tell("ready", "", "");
	while (!ended) {
		struct pollfd watched[2] = { { .fd = notify, .events = POLLIN }, { .fd = 0, .events = POLLIN } };
		int woken;

		text_flush();
		modified[0] = 0;
		woken = poll(watched, 2, left.is_there ? PAIR_MS : -1);
		if (woken == 0)
			take_leave();
		if (woken > 0 && watched[0].revents)
			hear_all();
		if (woken > 0 && watched[1].revents && stdin_ended())
			break;
	}
	text_flush();
	forget(NULL);
	fd_close(&notify);
	return failure;
}
