#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "child.h"
#include "fd.h"
#include "files.h"
#include "jobs.h"
#include "mount_point.h"
#include "out.h"
#include "port.h"
#include "share_pump.h"
#include "users.h"
#include "wire.h"

enum { FUSE_MAJOR = 10, FUSE_MINOR = 229, SHARE_READ_ONLY = 1, SHARE_IS_FILE = 2 };

#define READ_AHEAD_KIB "1024"

struct target {
	char path[PATH_MAX];
	int64_t flags;
};

static struct target targets[SHARES_MAX];
static struct share_mount mounts[SHARES_MAX];
static size_t count;
static int mounted_fd = -1;

/* What is mounted where: TARGET and SHARE_FLAGS in turn. */
static int read_targets(const struct fields *fields, struct err *err)
{
	struct fields rest = *fields;
	struct field field;

	count = 0;
	while (fields_next(&rest, &field)) {
		if (field.tag == TAG_SHARE_FLAGS && count)
			targets[count - 1].flags = (int64_t)load64((const uint8_t *)field.value.data);
		if (field.tag != TAG_TARGET)
			continue;
		if (count == SHARES_MAX)
			return err_set(err, ERR_BAD_REQUEST, 0, "at most %d directories", SHARES_MAX);
		if (!span_copy(field.value, targets[count].path, PATH_MAX) || targets[count].path[0] != '/')
			return err_set(err, ERR_BAD_REQUEST, 0, "not an absolute path");
		targets[count++].flags = 0;
	}
	return count ? 0 : err_set(err, ERR_BAD_REQUEST, 0, "no directory");
}

/* The kernel loads the module when the device is opened; an image may have put something else in the device's place. */
static int open_fuse(struct err *err)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT && mknod("/dev/fuse", S_IFCHR | 0666, makedev(FUSE_MAJOR, FUSE_MINOR)) == 0)
		fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? err_set(err, ERR_IO, errno, "/dev/fuse") : fd;
}

static void close_all(void)
{
	for (size_t i = 0; i < count; i++)
		fd_close(&mounts[i].fuse);
	fd_close(&mounted_fd);
}

static int open_mounts(const struct user *user, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		mounts[i] = (struct share_mount){ .fuse = -1, .user = user->uid, .group = user->gid };
	for (size_t i = 0; i < count; i++) {
		mounts[i].fuse = open_fuse(err);
		if (mounts[i].fuse < 0)
			return -1;
	}
	return 0;
}

static int start_pump(struct err *err)
{
	AUTO_FD way = port_open_shares(err);
	AUTO_FD reading = -1;
	int ends[2];
	pid_t pid;

	if (way < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, ERR_IO, errno, "pipe");
	reading = ends[0];
	mounted_fd = ends[1];
	fcntl(reading, F_SETFL, O_NONBLOCK);
	pid = fork();
	if (pid == 0)
		share_pump(mounts, count, fd_take(&way), fd_take(&reading));
	return pid < 0 ? err_set(err, ERR_IO, errno, "fork") : 0;
}

/* Further than the kernel's 128 KiB, so that several requests are on their way at once: each takes long. What the number
 * of the file system is, is known without the server. */
static void read_ahead(const char *path)
{
	struct statx found;
	char settings[80];

	if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &found) < 0)
		return;
	snprintf(settings, sizeof settings, "/sys/class/bdi/%u:%u/read_ahead_kb", found.stx_dev_major, found.stx_dev_minor);
	AUTO_FD fd = open(settings, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write_all(fd, READ_AHEAD_KIB, strlen(READ_AHEAD_KIB)) < 0)
		return;
}

static int mount_one(size_t i, struct err *err)
{
	const struct target *target = &targets[i];
	unsigned long flags = MS_NOSUID | MS_NODEV | (target->flags & SHARE_READ_ONLY ? MS_RDONLY : 0);
	char options[160];
	uint8_t number = (uint8_t)i;

	if (mount_point_ensure(target->path, target->flags & SHARE_IS_FILE, err) < 0)
		return -1;
	snprintf(options, sizeof options, "fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other,default_permissions",
		 mounts[i].fuse, target->flags & SHARE_IS_FILE ? S_IFREG : S_IFDIR);
	if (mount("banger", target->path, "fuse.banger", flags, options) < 0)
		return err_set(err, ERR_IO, errno, "cannot mount at %.120s", target->path);
	read_ahead(target->path);
	if (write_all(mounted_fd, &number, 1) < 0)
		return err_set(err, ERR_IO, errno, "pipe");
	return 0;
}

/* In a job: a target may lie in another mount, and so wait for the server. */
static int mount_all(struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (mount_one(i, err) < 0)
			return -1;
	return 0;
}

static int prepare(const struct fields *fields, struct err *err)
{
	static struct user user;

	if (count)
		return err_set(err, ERR_BUSY, 0, "directories are mounted already");
	if (read_targets(fields, err) < 0 || child_find_user(fields, &user, err) < 0 || open_mounts(&user, err) < 0)
		return -1;
	return start_pump(err);
}

void share(const struct request *request)
{
	struct err err;

	if (prepare(&request->fields, &err) < 0) {
		out_fail(request->channel, &err);
		if (err.code != ERR_BUSY) {
			close_all();
			count = 0;
		}
		return;
	}
	job_run(request, mount_all, NULL, NULL);
	close_all();
}
