#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent.h"
#include "child.h"
#include "err.h"
#include "fd.h"
#include "fields.h"
#include "files.h"
#include "jobs.h"
#include "mount_point.h"
#include "users.h"

#define HOME "/run/secrets"
#define VARIABLES HOME "/.variables"

enum { VARIABLES_MAX = 16 << 20, ELSEWHERE_MAX = 1000 };

static const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
/* Of the request whose job is about to begin. */
static struct fields asked;

static bool is_mounted(void)
{
	struct stat home, above;

	return stat(HOME, &home) == 0 && stat("/run", &above) == 0 && home.st_dev != above.st_dev;
}

/* Whether a tmpfs can stay out of the guest's swap. An older kernel would complain on the console. */
static bool kernel_has_noswap(void)
{
	struct utsname system;
	int major, minor;

	return uname(&system) == 0 && sscanf(system.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 4));
}

static int open_home(struct err *err)
{
	const char *options = kernel_has_noswap() ? "mode=755,size=64m,noswap" : "mode=755,size=64m";

	if (is_mounted())
		return mount(NULL, HOME, NULL, MS_REMOUNT | flags, NULL) < 0 ?
			       err_set(err, ERR_IO, errno, HOME) : 0;
	if (make_directories(HOME) < 0)
		return err_set(err, ERR_IO, errno, HOME);
	if (mount("secrets", HOME, "tmpfs", flags, options) < 0)
		return err_set(err, ERR_IO, errno, "tmpfs on " HOME);
	return 0;
}

/* Whoever owns a file in it can then neither change it nor fill the memory with it. */
static int close_home(struct err *err)
{
	if (mount(NULL, HOME, NULL, MS_REMOUNT | MS_RDONLY | flags, NULL) < 0)
		return err_set(err, ERR_IO, errno, HOME " for reading only");
	return 0;
}

static int keep_variable(struct span entry, struct err *err)
{
	AUTO_FD fd = open(VARIABLES, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0400);

	if (fd < 0 || write_all(fd, entry.data, entry.length) < 0 || write_all(fd, "", 1) < 0)
		return err_set(err, ERR_IO, errno, "a variable");
	return 0;
}

static int write_file(int fd, struct span value, const struct user *user, struct err *err)
{
	mode_t mode = (mode_t)fields_int(&asked, TAG_FILE_MODE, 0400) & 0777;

	if (write_all(fd, value.data, value.length) < 0 || fchown(fd, user->uid, user->gid) < 0 ||
	    fchmod(fd, mode) < 0)
		return err_set(err, ERR_IO, errno, "the contents of a secret");
	return 0;
}

static int create(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* Below its home, a secret has the name that it is asked for. */
static int keep_at_home(const char *path, struct span value, const struct user *user, struct err *err)
{
	char above[PATH_MAX];
	AUTO_FD fd = -1;

	snprintf(above, sizeof above, "%.*s", (int)(strrchr(path, '/') - path), path);
	if (make_directories(above) < 0 || (unlink(path) < 0 && errno != ENOENT))
		return err_set(err, ERR_IO, errno, "%.120s", path);
	fd = create(path);
	if (fd < 0)
		return err_set(err, ERR_IO, errno, "%.120s", path);
	return write_file(fd, value, user, err);
}

/* Anywhere else it is mounted, so that its contents are never on a disk. */
static int keep_elsewhere(const char *path, struct span value, const struct user *user, struct err *err)
{
	char kept[sizeof HOME + 16];
	AUTO_FD fd = -1;

	for (int number = 0; fd < 0 && number < ELSEWHERE_MAX; number++) {
		snprintf(kept, sizeof kept, HOME "/.%d", number);
		fd = create(kept);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0)
		return err_set(err, ERR_IO, errno, "%.120s", path);
	if (write_file(fd, value, user, err) < 0 || mount_point_ensure(path, true, err) < 0)
		return -1;
	if (mount(kept, path, NULL, MS_BIND, NULL) < 0)
		return err_set(err, ERR_IO, errno, "cannot mount at %.120s", path);
	return 0;
}

static int keep_file(struct err *err)
{
	static struct user user;
	char path[PATH_MAX];
	struct span value;

	if (!fields_text(&asked, TAG_TARGET, path, sizeof path) || path[0] != '/' ||
	    path[strlen(path) - 1] == '/' || !fields_span(&asked, TAG_SECRET, &value))
		return err_set(err, ERR_BAD_REQUEST, 0, "a file has an absolute path and contents");
	if (child_find_user(&asked, &user, err) < 0)
		return -1;
	if (strncmp(path, HOME "/", sizeof HOME) == 0)
		return keep_at_home(path, value, &user, err);
	return keep_elsewhere(path, value, &user, err);
}

/* In a job: a target may lie in a directory of the host, and wait for its server. */
static int keep(struct err *err)
{
	struct span entry;
	struct err later;
	int done;

	umask(022);
	if (open_home(err) < 0)
		return -1;
	done = fields_span(&asked, TAG_ENV, &entry) ? keep_variable(entry, err) : keep_file(err);
	return close_home(done < 0 ? &later : err) < 0 ? -1 : done;
}

void secret(const struct request *request)
{
	asked = request->fields;
	job_run(request, keep, NULL, NULL);
}

char *secret_variables(size_t *length)
{
	return file_load(VARIABLES, VARIABLES_MAX, length);
}
