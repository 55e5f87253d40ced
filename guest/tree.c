/* tree: what is in the root file system, without the contents of files. For each entry three texts, each with a
 * NUL at its end:
 *
 *   TYPE MODE UID GID DEVICE SIZE MTIME CTIME    of a directory, TYPE MODE UID GID alone
 *   the path, without a slash in front
 *   the target of a link, or nothing
 *
 * The kernel sets CTIME at each change of a file, and no program can set it: it tells of other contents, too. */

#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "applet.h"
#include "fd.h"
#include "files.h"
#include "tar.h"
#include "texts.h"

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif

enum { FACTS_SIZE = 256, TARGET_SIZE = 65536 };

static char path[TAR_PATH_SIZE];
static bool failed;

static void complain(const char *name, int number)
{
	char line[512];
	int length = snprintf(line, sizeof line, "tree: %.400s: %s\n", name, strerror(number));

	failed = true;
	if (write_all(2, line, (size_t)length) < 0)
		return;
}

static char type_letter(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return 'f';
	case S_IFDIR: return 'd';
	case S_IFLNK: return 'l';
	case S_IFCHR: return 'c';
	case S_IFBLK: return 'b';
	case S_IFIFO: return 'p';
	default: return 's';
	}
}

static void put_entry(const struct stat *stat, const char *target)
{
	char facts[FACTS_SIZE];
	int length = snprintf(facts, sizeof facts, "%c %o %u %u", type_letter(stat->st_mode),
			      stat->st_mode & 07777, stat->st_uid, stat->st_gid);

	/* The times of a directory tell of what is in it, which has entries of its own. */
	if (!S_ISDIR(stat->st_mode))
		snprintf(facts + length, sizeof facts - (size_t)length, " %u:%u %lld %lld.%09ld %lld.%09ld",
			 major(stat->st_rdev), minor(stat->st_rdev), (long long)stat->st_size,
			 (long long)stat->st_mtim.tv_sec, stat->st_mtim.tv_nsec,
			 (long long)stat->st_ctim.tv_sec, stat->st_ctim.tv_nsec);
	text_put(facts);
	text_put(path);
	text_put(target);
}

static void list_entry(int directory, const char *leaf, size_t length, int depth);

/* Takes over the descriptor. */
static void list_directory(int fd, size_t length, int depth)
{
	DIR *directory = fdopendir(fd);
	struct dirent *entry;

	if (!directory || depth == TAR_DEPTH_MAX) {
		complain(path, directory ? ENAMETOOLONG : errno);
		if (directory)
			closedir(directory);
		else
			fd_close(&fd);
		return;
	}
	if (length)
		path[length++] = '/';
	while ((errno = 0, entry = readdir(directory))) {
		size_t name = strlen(entry->d_name);

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (length + name + 1 > sizeof path) {
			path[length] = 0;
			complain(path, ENAMETOOLONG);
			continue;
		}
		memcpy(path + length, entry->d_name, name + 1);
		list_entry(fd, entry->d_name, length + name, depth);
	}
	path[length] = 0;
	if (errno)
		complain(path, errno);
	closedir(directory);
}

static void list_entry(int directory, const char *leaf, size_t length, int depth)
{
	static char target[TARGET_SIZE];
	struct stat stat;
	ssize_t got = 0;
	int fd;

	/* What was removed meanwhile is not there. */
	if (fstatat(directory, leaf, &stat, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (S_ISLNK(stat.st_mode) && (got = readlinkat(directory, leaf, target, sizeof target - 1)) < 0)) {
		if (errno != ENOENT)
			complain(path, errno);
		return;
	}
	target[got] = 0;
	put_entry(&stat, target);
	if (!S_ISDIR(stat.st_mode))
		return;
	fd = openat(directory, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		list_directory(fd, length, depth + 1);
	else if (errno != ENOENT && errno != ENOTDIR)
		complain(path, errno);
}

int tree_write(int fd)
{
	failed = false;
	path[0] = 0;
	list_directory(fd, 0, 0);
	text_flush();
	return failed;
}

int tree_list(int argc, char **argv)
{
	/* A mount of the root's own, with nothing mounted below it: neither kernel interfaces nor directories of the
	 * host, and what these hide is there. */
	AUTO_FD root = (int)syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | O_CLOEXEC);
	int fd = root < 0 ? -1 : openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)argv;
	if (argc > 0) {
		complain("usage: tree", EINVAL);
		return 2;
	}
	if (fd < 0) {
		complain("/", errno);
		return 1;
	}
	return tree_write(fd);
}
