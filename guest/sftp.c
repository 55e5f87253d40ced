/* SFTP, version 3 with the extensions of OpenSSH that its clients use, for images without a server of their own. It runs
 * as the user of the request, so the kernel decides what it may do. One request after the other: a client that sends
 * many ahead waits in the pipe. */
#include "applet.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"
#include "files.h"
#include "sftp_attributes.h"
#include "sftp_packet.h"

enum {
	VERSION = 3,
	PACKET_MAX = 256 << 10,
	DATA_MAX = PACKET_MAX - 1024,
	HANDLES = 256,
	NAMES_AT_ONCE = 128,
	/* Of one name in an answer: the name twice, what ls -l says, attributes. */
	NAME_ROOM = 2 * NAME_MAX + 512,
	NOREPLACE = 1,
};

enum request_type {
	INIT = 1,
	OPEN = 3,
	CLOSE,
	READ,
	WRITE,
	LSTAT,
	FSTAT,
	SETSTAT,
	FSETSTAT,
	OPENDIR,
	READDIR,
	REMOVE,
	MKDIR,
	RMDIR,
	REALPATH,
	STAT,
	RENAME,
	READLINK,
	SYMLINK,
	EXTENDED = 200,
};

enum answer_type { VERSION_IS = 2, STATUS = 101, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY = 201 };

enum status { OK, END, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, UNSUPPORTED = 8 };

enum open_flag { TO_READ = 1, TO_WRITE = 2, TO_APPEND = 4, TO_CREATE = 8, TO_TRUNCATE = 16, TO_EXCLUDE = 32 };

/* An open file or directory. A client names it by index and generation, so that a name of a closed one is not
 * taken for its successor's. */
static struct handle {
	int fd;
	DIR *directory;
	uint32_t generation;
	bool used;
} handles[HANDLES];

static uint8_t request[PACKET_MAX], answer[PACKET_MAX + 64];
static struct sftp_out out;
static uint32_t id;

/* Answers. */

static void begin(enum answer_type type)
{
	out = (struct sftp_out){ .start = answer, .size = sizeof answer };
	sftp_put_u32(&out, 0);
	sftp_put_byte(&out, (uint8_t)type);
	if (type != VERSION_IS)
		sftp_put_u32(&out, id);
}

static void put_u32_at(size_t at, uint32_t value)
{
	struct sftp_out place = { .start = answer + at, .size = 4 };

	sftp_put_u32(&place, value);
}

static void say_status(enum status status, const char *message)
{
	begin(STATUS);
	sftp_put_u32(&out, status);
	sftp_put_string(&out, message, strlen(message));
	sftp_put_string(&out, "", 0);
}

static void say_failure(int number)
{
	enum status status = number == ENOENT || number == ENOTDIR ? NO_SUCH_FILE :
			     number == EACCES || number == EPERM ? PERMISSION_DENIED :
			     number == ENOSYS || number == EOPNOTSUPP ? UNSUPPORTED :
									FAILURE;

	say_status(status, strerror(number));
}

static void say_done(int done)
{
	if (done < 0)
		say_failure(errno);
	else
		say_status(OK, "");
}

static void say_attributes(int done, const struct stat *stat)
{
	if (done < 0)
		return say_failure(errno);
	begin(ATTRS);
	sftp_put_attributes(&out, stat);
}

/* One name without attributes. */
static void say_name(const char *name, size_t length)
{
	begin(NAME);
	sftp_put_u32(&out, 1);
	sftp_put_string(&out, name, length);
	sftp_put_string(&out, name, length);
	sftp_put_u32(&out, 0);
}

/* Arguments. */

/* A path, ended by NUL; the empty path is the working directory. Marks the request as bad if there is no such path. */
static const char *take_path(struct sftp_in *in, char path[PATH_MAX])
{
	struct span span = sftp_take_string(in);

	if (span.length >= PATH_MAX || memchr(span.data, 0, span.length)) {
		in->bad = true;
		span.length = 0;
	}
	memcpy(path, span.data, span.length);
	path[span.length] = 0;
	if (!span.length)
		strcpy(path, ".");
	return path;
}

static struct handle *take_handle(struct sftp_in *in)
{
	struct span span = sftp_take_string(in);
	struct sftp_in name = { (const uint8_t *)span.data, span.length, false };
	uint32_t index = sftp_take_u32(&name), generation = sftp_take_u32(&name);

	if (name.bad || name.left || index >= HANDLES || !handles[index].used ||
	    handles[index].generation != generation)
		return NULL;
	return &handles[index];
}

static void say_no_handle(void)
{
	say_status(FAILURE, "no such handle");
}

static void say_handle(int fd, DIR *directory)
{
	for (uint32_t i = 0; i < HANDLES; i++) {
		struct handle *handle = &handles[i];

		if (handle->used)
			continue;
		*handle = (struct handle){ fd, directory, handle->generation + 1, true };
		begin(HANDLE);
		sftp_put_u32(&out, 8);
		sftp_put_u32(&out, i);
		sftp_put_u32(&out, handle->generation);
		return;
	}
	if (directory)
		closedir(directory);
	else
		close(fd);
	say_failure(EMFILE);
}

/* Requests. */

static int flags_of(uint32_t flags)
{
	int result = O_CLOEXEC | O_NOCTTY;

	result |= flags & TO_READ ? (flags & TO_WRITE ? O_RDWR : O_RDONLY) : flags & TO_WRITE ? O_WRONLY : O_RDONLY;
	result |= flags & TO_APPEND ? O_APPEND : 0;
	result |= flags & TO_CREATE ? O_CREAT : 0;
	result |= flags & TO_TRUNCATE ? O_TRUNC : 0;
	result |= flags & TO_EXCLUDE ? O_EXCL : 0;
	return result;
}

static void do_open(struct sftp_in *in)
{
	char path[PATH_MAX];
	struct sftp_attributes wanted;
	uint32_t flags;
	int fd;

	take_path(in, path);
	flags = sftp_take_u32(in);
	wanted = sftp_take_attributes(in);
	if (in->bad)
		return;
	fd = open(path, flags_of(flags), wanted.flags & SFTP_HAS_MODE ? wanted.mode : 0666);
	if (fd < 0)
		say_failure(errno);
	else
		say_handle(fd, NULL);
}

static void do_close(struct sftp_in *in)
{
	struct handle *handle = take_handle(in);

	if (!handle)
		return say_no_handle();
	handle->used = false;
	say_done(handle->directory ? closedir(handle->directory) : close(handle->fd));
}

static void do_read(struct sftp_in *in)
{
	struct handle *handle = take_handle(in);
	uint64_t offset = sftp_take_u64(in);
	uint32_t length = sftp_take_u32(in);
	ssize_t got;
	size_t start;

	if (!handle || handle->directory)
		return say_no_handle();
	if (length > DATA_MAX)
		length = DATA_MAX;
	begin(DATA);
	start = out.used;
	got = pread(handle->fd, answer + start + 4, length, (off_t)offset);
	if (got < 0)
		return say_failure(errno);
	if (got == 0 && length)
		return say_status(END, "end of file");
	sftp_put_u32(&out, (uint32_t)got);
	out.used += (size_t)got;
}

static void do_write(struct sftp_in *in)
{
	struct handle *handle = take_handle(in);
	uint64_t offset = sftp_take_u64(in);
	struct span data = sftp_take_string(in);

	if (in->bad)
		return;
	if (!handle || handle->directory)
		return say_no_handle();
	while (data.length) {
		ssize_t done = pwrite(handle->fd, data.data, data.length, (off_t)offset);

		if (done <= 0)
			return say_failure(done ? errno : EIO);
		data.data += done;
		data.length -= (size_t)done;
		offset += (uint64_t)done;
	}
	say_status(OK, "");
}

static void do_stat(struct sftp_in *in, bool follow)
{
	char path[PATH_MAX];
	struct stat found;

	take_path(in, path);
	if (!in->bad)
		say_attributes((follow ? stat : lstat)(path, &found), &found);
}

static int fd_of(const struct handle *handle)
{
	return handle->directory ? dirfd(handle->directory) : handle->fd;
}

static void do_fstat(struct sftp_in *in)
{
	struct handle *handle = take_handle(in);
	struct stat found;

	if (!handle)
		return say_no_handle();
	say_attributes(fstat(fd_of(handle), &found), &found);
}

static void do_setstat(struct sftp_in *in, bool link)
{
	char path[PATH_MAX];
	struct sftp_attributes wanted;

	take_path(in, path);
	wanted = sftp_take_attributes(in);
	if (!in->bad)
		say_done(sftp_apply_to_path(path, &wanted, link));
}

static void do_fsetstat(struct sftp_in *in)
{
	struct handle *handle = take_handle(in);
	struct sftp_attributes wanted = sftp_take_attributes(in);

	if (in->bad)
		return;
	if (!handle)
		return say_no_handle();
	say_done(sftp_apply_to_fd(fd_of(handle), &wanted));
}

static void do_opendir(struct sftp_in *in)
{
	char path[PATH_MAX];
	DIR *directory;

	take_path(in, path);
	if (in->bad)
		return;
	directory = opendir(path);
	if (directory)
		say_handle(-1, directory);
	else
		say_failure(errno);
}

static void do_readdir(struct sftp_in *in)
{
	struct handle *handle = take_handle(in);
	uint32_t names = 0;
	struct dirent *entry;
	size_t count_at;

	if (!handle || !handle->directory)
		return say_no_handle();
	begin(NAME);
	count_at = out.used;
	sftp_put_u32(&out, 0);
	while (names < NAMES_AT_ONCE && out.size - out.used > NAME_ROOM &&
	       (errno = 0, entry = readdir(handle->directory))) {
		struct stat found;

		if (fstatat(dirfd(handle->directory), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* gone meanwhile */
		sftp_put_string(&out, entry->d_name, strlen(entry->d_name));
		sftp_put_long_name(&out, entry->d_name, &found);
		sftp_put_attributes(&out, &found);
		names++;
	}
	if (!names)
		return errno && errno != ENOENT ? say_failure(errno) : say_status(END, "no more names");
	put_u32_at(count_at, names);
}

static void do_mkdir(struct sftp_in *in)
{
	char path[PATH_MAX];
	struct sftp_attributes wanted;

	take_path(in, path);
	wanted = sftp_take_attributes(in);
	if (!in->bad)
		say_done(mkdir(path, wanted.flags & SFTP_HAS_MODE ? wanted.mode : 0777));
}

static void do_with_path(struct sftp_in *in, int (*act)(const char *path))
{
	char path[PATH_MAX];

	take_path(in, path);
	if (!in->bad)
		say_done(act(path));
}

/* Its last part need not exist: clients ask where a file would be. */
static void do_realpath(struct sftp_in *in)
{
	char path[PATH_MAX], whole[2 * PATH_MAX];
	const char *last;
	char *slash;
	size_t length;

	take_path(in, path);
	if (in->bad)
		return;
	if (realpath(path, whole))
		return say_name(whole, strlen(whole));
	if (errno != ENOENT)
		return say_failure(errno);
	slash = strrchr(path, '/');
	last = slash ? slash + 1 : path;
	if (!*last || strlen(last) > NAME_MAX || strcmp(last, "..") == 0)
		return say_failure(ENOENT);
	if (!realpath(!slash ? "." : slash == path ? "/" : (*slash = 0, path), whole))
		return say_failure(errno);
	length = strlen(whole);
	if (length > 1)
		whole[length++] = '/';
	strcpy(whole + length, last);
	say_name(whole, strlen(whole));
}

static void do_readlink(struct sftp_in *in)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t length;

	take_path(in, path);
	if (in->bad)
		return;
	length = readlink(path, target, sizeof target);
	if (length < 0)
		say_failure(errno);
	else
		say_name(target, (size_t)length);
}

static int rename_without_replacing(const char *old, const char *new)
{
	struct stat found;

	if (syscall(SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (lstat(new, &found) == 0) {
		errno = EEXIST;
		return -1;
	}
	return rename(old, new);
}

/* Two paths in the order in which clients of OpenSSH send them: for SYMLINK the target first, against the draft. */
static void do_with_paths(struct sftp_in *in, int (*act)(const char *first, const char *second))
{
	char first[PATH_MAX], second[PATH_MAX];

	take_path(in, first);
	take_path(in, second);
	if (!in->bad)
		say_done(act(first, second));
}

static void do_statvfs(int done, const struct statvfs *space)
{
	if (done < 0)
		return say_failure(errno);
	begin(EXTENDED_REPLY);
	sftp_put_u64(&out, space->f_bsize);
	sftp_put_u64(&out, space->f_frsize);
	sftp_put_u64(&out, space->f_blocks);
	sftp_put_u64(&out, space->f_bfree);
	sftp_put_u64(&out, space->f_bavail);
	sftp_put_u64(&out, space->f_files);
	sftp_put_u64(&out, space->f_ffree);
	sftp_put_u64(&out, space->f_favail);
	sftp_put_u64(&out, space->f_fsid);
	/* SFTP's own bits: 1 read-only, 2 no setuid. */
	sftp_put_u64(&out, (space->f_flag & ST_RDONLY ? 1u : 0u) | (space->f_flag & ST_NOSUID ? 2u : 0u));
	sftp_put_u64(&out, space->f_namemax);
}

static void extended_statvfs(struct sftp_in *in)
{
	char path[PATH_MAX];
	struct statvfs space;

	take_path(in, path);
	if (!in->bad)
		do_statvfs(statvfs(path, &space), &space);
}

static void extended_fstatvfs(struct sftp_in *in)
{
	struct handle *handle = take_handle(in);
	struct statvfs space;

	if (!handle)
		return say_no_handle();
	do_statvfs(fstatvfs(fd_of(handle), &space), &space);
}

static void extended_fsync(struct sftp_in *in)
{
	struct handle *handle = take_handle(in);

	if (!handle)
		return say_no_handle();
	say_done(fsync(fd_of(handle)));
}

static void extended_limits(struct sftp_in *in)
{
	(void)in;
	begin(EXTENDED_REPLY);
	sftp_put_u64(&out, PACKET_MAX);
	sftp_put_u64(&out, DATA_MAX);
	sftp_put_u64(&out, DATA_MAX);
	sftp_put_u64(&out, HANDLES);
}

static void extended_rename(struct sftp_in *in)
{
	do_with_paths(in, rename);
}

static void extended_hardlink(struct sftp_in *in)
{
	do_with_paths(in, link);
}

static void extended_lsetstat(struct sftp_in *in)
{
	do_setstat(in, true);
}

static const struct {
	const char *name, *version;
	void (*act)(struct sftp_in *in);
} extensions[] = {
	{ "posix-rename@openssh.com", "1", extended_rename },
	{ "statvfs@openssh.com", "2", extended_statvfs },
	{ "fstatvfs@openssh.com", "2", extended_fstatvfs },
	{ "hardlink@openssh.com", "1", extended_hardlink },
	{ "fsync@openssh.com", "1", extended_fsync },
	{ "lsetstat@openssh.com", "1", extended_lsetstat },
	{ "limits@openssh.com", "1", extended_limits },
};

enum { EXTENSIONS = sizeof extensions / sizeof extensions[0] };

static void do_extended(struct sftp_in *in)
{
	struct span name = sftp_take_string(in);

	for (size_t i = 0; i < EXTENSIONS; i++)
		if (span_is(name, extensions[i].name))
			return extensions[i].act(in);
	say_status(UNSUPPORTED, "no such extension");
}

static void do_init(void)
{
	begin(VERSION_IS);
	sftp_put_u32(&out, VERSION);
	for (size_t i = 0; i < EXTENSIONS; i++) {
		sftp_put_string(&out, extensions[i].name, strlen(extensions[i].name));
		sftp_put_string(&out, extensions[i].version, strlen(extensions[i].version));
	}
}

static void act(enum request_type type, struct sftp_in *in)
{
	switch (type) {
	case OPEN: return do_open(in);
	case CLOSE: return do_close(in);
	case READ: return do_read(in);
	case WRITE: return do_write(in);
	case LSTAT: return do_stat(in, false);
	case FSTAT: return do_fstat(in);
	case SETSTAT: return do_setstat(in, false);
	case FSETSTAT: return do_fsetstat(in);
	case OPENDIR: return do_opendir(in);
	case READDIR: return do_readdir(in);
	case REMOVE: return do_with_path(in, unlink);
	case MKDIR: return do_mkdir(in);
	case RMDIR: return do_with_path(in, rmdir);
	case REALPATH: return do_realpath(in);
	case STAT: return do_stat(in, true);
	case RENAME: return do_with_paths(in, rename_without_replacing);
	case READLINK: return do_readlink(in);
	case SYMLINK: return do_with_paths(in, symlink);
	case EXTENDED: return do_extended(in);
	default: return say_status(UNSUPPORTED, "no such request");
	}
}

static void answer_request(size_t length)
{
	struct sftp_in in = { request, length, false };
	enum request_type type = sftp_take_byte(&in);

	out.used = 0;
	if (type == INIT)
		return do_init();
	id = sftp_take_u32(&in);
	act(type, &in);
	if (in.bad)
		say_status(BAD_MESSAGE, "a malformed request");
}

/* False at the end of the input. */
static bool read_exactly(void *buffer, size_t length)
{
	uint8_t *at = buffer;

	while (length) {
		ssize_t got = read(0, at, length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		length -= (size_t)got;
	}
	return true;
}

int sftp_serve(int argc, char **argv)
{
	const char *home = getenv("HOME");
	uint8_t prefix[4];

	(void)argc;
	(void)argv;
	if (home && chdir(home) < 0)
		home = NULL; /* relative paths begin at the root then */
	while (read_exactly(prefix, sizeof prefix)) {
		struct sftp_in in = { prefix, sizeof prefix, false };
		uint32_t length = sftp_take_u32(&in);

		if (length == 0 || length > sizeof request)
			return 1;
		if (!read_exactly(request, length))
			return 1;
		answer_request(length);
		put_u32_at(0, (uint32_t)out.used - 4);
		if (write_all(1, answer, out.used) < 0)
			return 1;
	}
	return 0;
}
