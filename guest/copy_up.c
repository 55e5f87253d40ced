#include "copy_up.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fd.h"

/* In the volume while files are copied, and while the copies move to their places. */
#define COPYING ".banger-copying"
#define COPIED ".banger-copied"

enum { DEPTH_MAX = 256, XATTRS_MAX = 4096, VALUE_MAX = 65536, PIECE = 1 << 20 };

typedef int visit(int directory, const char *name, void *context, struct err *err);

static int failed(const char *name, struct err *err)
{
	return err_set(err, ERR_IO, errno, "cannot fill the volume: %.100s", name);
}

/* Calls `each` for all names in the directory, whose descriptor stays the caller's. */
static int each_name(int directory, visit *each, void *context, struct err *err)
{
	int own = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), done = 0;
	DIR *stream = own < 0 ? NULL : fdopendir(own);
	struct dirent *entry;

	if (!stream) {
		fd_close(&own);
		return failed(".", err);
	}
	while (done == 0 && (errno = 0, entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			done = each(directory, entry->d_name, context, err);
	if (done == 0 && errno)
		done = failed(".", err);
	closedir(stream);
	return done;
}

static int remove_one(int directory, const char *name, void *context, struct err *err)
{
	AUTO_FD below = -1;

	if (unlinkat(directory, name, 0) == 0)
		return 0;
	below = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (below < 0 || each_name(below, remove_one, context, err) < 0)
		return failed(name, err);
	return unlinkat(directory, name, AT_REMOVEDIR) < 0 ? failed(name, err) : 0;
}

static void copy_xattrs(int from, int to)
{
	static char names[XATTRS_MAX], value[VALUE_MAX];
	ssize_t length = flistxattr(from, names, sizeof names), size;

	for (const char *name = names; name - names < length; name += strlen(name) + 1) {
		size = fgetxattr(from, name, value, sizeof value);
		if (size >= 0)
			fsetxattr(to, name, value, (size_t)size, 0);
	}
}

static int copy_attributes(int from, int to, const struct stat *stat_)
{
	struct timespec times[2] = { stat_->st_atim, stat_->st_mtim };

	if (fchown(to, stat_->st_uid, stat_->st_gid) < 0 || fchmod(to, stat_->st_mode & 07777) < 0)
		return -1;
	copy_xattrs(from, to); /* after the owner, whose change takes capabilities away */
	return futimens(to, times);
}

static int copy_contents(int from, int to)
{
	ssize_t sent;

	while ((sent = sendfile(to, from, NULL, PIECE)) > 0)
		;
	return (int)sent;
}

struct level {
	int to;
	int depth;
	dev_t device;
};

static visit copy_one;

static int copy_directory(int from, int to, const struct stat *stat_, int depth, struct err *err)
{
	struct level level = { .to = to, .depth = depth, .device = stat_->st_dev };

	if (depth > DEPTH_MAX)
		return err_set(err, ERR_IO, ELOOP, "cannot fill the volume");
	if (each_name(from, copy_one, &level, err) < 0)
		return -1;
	return copy_attributes(from, to, stat_) < 0 ? failed(".", err) : 0;
}

static int copy_file_or_directory(int directory, const char *name, const struct stat *stat_,
				  const struct level *level, struct err *err)
{
	bool is_directory = S_ISDIR(stat_->st_mode);
	int kind = is_directory ? O_DIRECTORY : O_NONBLOCK;
	AUTO_FD from = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | kind);
	AUTO_FD to = -1;

	if (from < 0 || (is_directory && mkdirat(level->to, name, 0700) < 0))
		return failed(name, err);
	to = openat(level->to, name, is_directory ? O_RDONLY | O_DIRECTORY | O_CLOEXEC :
						    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return failed(name, err);
	if (is_directory && stat_->st_dev == level->device)
		return copy_directory(from, to, stat_, level->depth + 1, err);
	if ((!is_directory && copy_contents(from, to) < 0) || copy_attributes(from, to, stat_) < 0)
		return failed(name, err);
	return 0;
}

static int copy_link(int directory, const char *name, const struct level *level)
{
	char target[PATH_MAX];
	ssize_t length = readlinkat(directory, name, target, sizeof target - 1);

	if (length < 0)
		return -1;
	target[length] = 0;
	return symlinkat(target, level->to, name);
}

static int copy_one(int directory, const char *name, void *context, struct err *err)
{
	const struct level *level = context;
	struct stat stat_;

	if (fstatat(directory, name, &stat_, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(name, err);
	if (S_ISDIR(stat_.st_mode) || S_ISREG(stat_.st_mode))
		return copy_file_or_directory(directory, name, &stat_, level, err);
	if (S_ISSOCK(stat_.st_mode))
		return 0; /* nobody listens on a copy */
	if (S_ISLNK(stat_.st_mode) ? copy_link(directory, name, level) < 0 :
				     mknodat(level->to, name, stat_.st_mode, stat_.st_rdev) < 0)
		return failed(name, err);
	return fchownat(level->to, name, stat_.st_uid, stat_.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ? failed(name, err) : 0;
}

static int move_one(int directory, const char *name, void *context, struct err *err)
{
	const int *root = context;

	return renameat(directory, name, *root, name) < 0 ? failed(name, err) : 0;
}

/* What was copied as a whole gets its place. */
static int move_up(int root, struct err *err)
{
	AUTO_FD copied = openat(root, COPIED, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat stat_;

	if (copied < 0)
		return errno == ENOENT ? 0 : failed(COPIED, err);
	if (fstat(copied, &stat_) < 0 || each_name(copied, move_one, &root, err) < 0 ||
	    copy_attributes(copied, root, &stat_) < 0 || unlinkat(root, COPIED, AT_REMOVEDIR) < 0)
		return failed(COPIED, err);
	return 0;
}

static int find_one(int directory, const char *name, void *context, struct err *err)
{
	bool *is_empty = context;

	(void)directory, (void)err;
	*is_empty = *is_empty && strcmp(name, COPYING) == 0;
	return 0;
}

static int copy_all(int hidden, int root, struct err *err)
{
	AUTO_FD copying = -1;
	struct stat stat_;

	if (faccessat(root, COPYING, F_OK, AT_SYMLINK_NOFOLLOW) == 0 && remove_one(root, COPYING, NULL, err) < 0)
		return -1;
	if (fstat(hidden, &stat_) < 0 || mkdirat(root, COPYING, 0700) < 0)
		return failed(COPYING, err);
	copying = openat(root, COPYING, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (copying < 0)
		return failed(COPYING, err);
	if (copy_directory(hidden, copying, &stat_, 0, err) < 0) {
		struct err unused;

		remove_one(root, COPYING, NULL, &unused);
		return -1;
	}
	if (syncfs(root) < 0 || renameat(root, COPYING, root, COPIED) < 0)
		return failed(COPYING, err);
	return 0;
}

int copy_up(int hidden, const char *path, struct err *err)
{
	AUTO_FD root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool is_empty = true;

	if (root < 0)
		return failed(path, err);
	if (each_name(root, find_one, &is_empty, err) < 0)
		return -1;
	if (is_empty && copy_all(hidden, root, err) < 0)
		return -1;
	return move_up(root, err);
}
