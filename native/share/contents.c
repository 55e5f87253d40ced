/* Files that are open, and their bytes. */
#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { APPEND = 0x10 /* RWF_APPEND */ };

#define RIGHTS 0777
/* Flags of an open that mean something here. The guest's kernel does the rest. */
#define PASSED_ON (O_ACCMODE | O_SYNC | O_DSYNC)

static void put_handle(struct request *request, uint64_t number)
{
	struct fuse_open_out out = {.fh = number};

	request_put(request, &out, sizeof out);
}

/* A descriptor, or minus an errno. */
static int open_file(struct request *request, uint32_t flags)
{
	struct statx found;
	int descriptor = node_open(request->mount, request->node, (int)flags & PASSED_ON, &found);

	if (descriptor < 0)
		return descriptor;
	/* Not at the opening: before it, another file may have come into this place. */
	int failure = !S_ISREG(found.stx_mode) ? EISDIR : flags & O_TRUNC && ftruncate(descriptor, 0) != 0 ? errno : 0;
	if (!failure)
		return descriptor;
	close(descriptor);
	return -failure;
}

int do_open(struct request *request)
{
	struct fuse_open_in in;
	uint64_t number;

	if (!request_take(request, &in, sizeof in))
		return EINVAL;
	if (request->mount->read_only && ((in.flags & O_ACCMODE) != O_RDONLY || in.flags & O_TRUNC))
		return EROFS;
	int descriptor = open_file(request, in.flags);
	if (descriptor < 0)
		return -descriptor;
	if (!handles_add(&request->mount->handles, descriptor, false, request->node, &number))
		return ENFILE;
	put_handle(request, number);
	return 0;
}

/* Answers with the entry and a handle of the file; closes the descriptor if that fails. */
static int put_created(struct request *request, const char *name, int descriptor)
{
	struct fuse_entry_out entry;
	struct statx found;
	uint64_t number;
	int failure = look_at(descriptor, &found);

	if (!failure && !S_ISREG(found.stx_mode))
		failure = EPERM;
	if (!failure)
		failure = fill_entry(request->mount, request->node, name, &found, &entry);
	if (failure) {
		close(descriptor);
		return failure;
	}
	struct node *node = nodes_find(&request->mount->nodes, entry.nodeid);
	if (!handles_add(&request->mount->handles, descriptor, false, node, &number)) {
		nodes_forget(&request->mount->nodes, entry.nodeid, 1);
		return ENFILE;
	}
	request_put(request, &entry, sizeof entry);
	put_handle(request, number);
	return 0;
}

int do_create(struct request *request)
{
	AUTO_PLACE place = {0};
	struct fuse_create_in in;
	const char *name;
	int failure;

	if (!request_take(request, &in, sizeof in) || !(name = request_name(request)))
		return EINVAL;
	failure = place_below(request->mount, request->node, name, &place);
	if (failure)
		return failure;
	int flags = (int)in.flags & (PASSED_ON | O_EXCL | O_TRUNC);
	int descriptor = openat(place.directory, name, flags | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
				in.mode & RIGHTS);
	return descriptor < 0 ? errno : put_created(request, name, descriptor);
}

/* An offset or length that a file can have. */
static bool fits(uint64_t offset, uint64_t length)
{
	return offset <= INT64_MAX && length <= INT64_MAX - offset;
}

int do_read(struct request *request)
{
	struct fuse_read_in in;

	if (!request_take(request, &in, sizeof in) || in.size > DATA_MOST || !fits(in.offset, in.size))
		return EINVAL;
	struct handle *handle = handles_find(&request->mount->handles, in.fh, request->node, false);
	if (!handle)
		return EBADF;
	ssize_t got = pread(handle->descriptor, request->answer, in.size, (off_t)in.offset);
	if (got < 0)
		return errno;
	request->length = (size_t)got;
	return 0;
}

int do_write(struct request *request)
{
	struct fuse_write_in in;
	struct fuse_write_out out = {0};

	if (!request_take(request, &in, sizeof in) || in.size > request->left || !fits(in.offset, in.size))
		return EINVAL;
	struct handle *handle = handles_find(&request->mount->handles, in.fh, request->node, false);
	if (!handle)
		return EBADF;
	/* At the end, whoever on the host has written there meanwhile; but not what a mapping writes back. */
	bool appends = in.flags & O_APPEND && !(in.write_flags & FUSE_WRITE_CACHE);
	struct iovec bytes = {(void *)request->at, in.size};
	ssize_t written = appends ? syscall(SYS_pwritev2, handle->descriptor, &bytes, 1, 0, 0, APPEND) :
				    pwrite(handle->descriptor, request->at, in.size, (off_t)in.offset);
	if (written < 0)
		return errno;
	out.size = (uint32_t)written;
	request_put(request, &out, sizeof out);
	return 0;
}

static int release(struct request *request, bool is_directory)
{
	struct fuse_release_in in;

	if (!request_take(request, &in, sizeof in))
		return EINVAL;
	handles_remove(&request->mount->handles, in.fh, request->node, is_directory);
	return 0;
}

int do_release(struct request *request)
{
	return release(request, false);
}

int do_releasedir(struct request *request)
{
	return release(request, true);
}

static int sync_handle(struct request *request, bool is_directory)
{
	struct fuse_fsync_in in;

	if (!request_take(request, &in, sizeof in))
		return EINVAL;
	struct handle *handle = handles_find(&request->mount->handles, in.fh, request->node, is_directory);
	if (!handle)
		return EBADF;
	int result = in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(handle->descriptor) : fsync(handle->descriptor);
	return result != 0 ? errno : 0;
}

int do_fsync(struct request *request)
{
	return sync_handle(request, false);
}

int do_fsyncdir(struct request *request)
{
	return sync_handle(request, true);
}

int do_fallocate(struct request *request)
{
	struct fuse_fallocate_in in;

	if (!request_take(request, &in, sizeof in) || !fits(in.offset, in.length))
		return EINVAL;
	struct handle *handle = handles_find(&request->mount->handles, in.fh, request->node, false);
	if (!handle)
		return EBADF;
	return fallocate(handle->descriptor, (int)in.mode, (off_t)in.offset, (off_t)in.length) != 0 ? errno : 0;
}

int do_lseek(struct request *request)
{
	struct fuse_lseek_in in;
	struct fuse_lseek_out out;

	if (!request_take(request, &in, sizeof in) || (in.whence != SEEK_DATA && in.whence != SEEK_HOLE))
		return EINVAL;
	struct handle *handle = handles_find(&request->mount->handles, in.fh, request->node, false);
	if (!handle)
		return EBADF;
	off_t at = lseek(handle->descriptor, (off_t)in.offset, (int)in.whence);
	if (at < 0)
		return errno;
	out.offset = (uint64_t)at;
	request_put(request, &out, sizeof out);
	return 0;
}
