/* What is known of a file beside its contents. */
#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { NOBODY = 65534, FCHMODAT2 = 452 /* Linux 6.6 */ };

#define RIGHTS (0777 | S_ISVTX)
#define EVERY_BIT 07777

/* All file systems below the root are one for the guest, and in it one number is one file. */
static uint64_t inode_number(const struct mount *mount, const struct statx *found)
{
	uint64_t device = identity_of(found).device;

	return device == mount->device ? found->stx_ino : found->stx_ino ^ device * UINT64_C(0x9e3779b97f4a7c15);
}

void fill_attributes(const struct mount *mount, const struct statx *found, struct fuse_attr *attributes)
{
	*attributes = (struct fuse_attr){
		.ino = inode_number(mount, found),
		.size = found->stx_size,
		.blocks = found->stx_blocks,
		.atime = (uint64_t)found->stx_atime.tv_sec,
		.mtime = (uint64_t)found->stx_mtime.tv_sec,
		.ctime = (uint64_t)found->stx_ctime.tv_sec,
		.atimensec = found->stx_atime.tv_nsec,
		.mtimensec = found->stx_mtime.tv_nsec,
		.ctimensec = found->stx_ctime.tv_nsec,
		.mode = found->stx_mode,
		.nlink = found->stx_nlink,
		.uid = found->stx_uid == geteuid() ? mount->guest_user : NOBODY,
		.gid = found->stx_gid == getegid() ? mount->guest_group : NOBODY,
		.rdev = (uint32_t)makedev(found->stx_rdev_major, found->stx_rdev_minor),
		.blksize = found->stx_blksize,
	};
}

static void put_attributes(struct request *request, const struct statx *found)
{
	struct fuse_attr_out out = {.attr_valid = BELIEVED_S};

	fill_attributes(request->mount, found, &out.attr);
	request_put(request, &out, sizeof out);
}

/* The descriptor of a handle that the kernel names, -1 for none. */
static int named(const struct request *request, uint64_t number, bool is_named)
{
	struct handles *handles = &request->mount->handles;
	struct handle *handle = NULL;

	if (is_named)
		handle = handles_find(handles, number, request->node, false);
	if (is_named && !handle)
		handle = handles_find(handles, number, request->node, true);
	return handle ? handle->descriptor : -1;
}

int do_getattr(struct request *request)
{
	AUTO_PLACE place = {0};
	struct fuse_getattr_in in;
	struct statx found;
	int failure, descriptor;

	if (!request_take(request, &in, sizeof in))
		return EINVAL;
	descriptor = named(request, in.fh, in.getattr_flags & FUSE_GETATTR_FH);
	if (descriptor >= 0)
		failure = look_at(descriptor, &found);
	else
		failure = node_look(request->mount, request->node, &place, &descriptor, &found);
	if (!failure)
		put_attributes(request, &found);
	return failure;
}

static int set_size(struct request *request, int descriptor, uint64_t size)
{
	struct statx found;
	int failure;

	if (size > INT64_MAX)
		return EFBIG;
	if (descriptor >= 0 && ftruncate(descriptor, (off_t)size) == 0)
		return 0;
	descriptor = node_open(request->mount, request->node, O_WRONLY, &found);
	if (descriptor < 0)
		return -descriptor;
	failure = ftruncate(descriptor, (off_t)size) != 0 ? errno : 0;
	close(descriptor);
	return failure;
}

/* On a kernel without fchmodat2 this needs to open the file: by its name, a link in its place would be followed. */
static int set_mode(struct request *request, int descriptor, const struct place *place, mode_t mode)
{
	struct statx found;
	int failure;

	if (descriptor >= 0)
		return fchmod(descriptor, mode) != 0 ? errno : 0;
	if (syscall(FCHMODAT2, place->directory, place->name, mode, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (errno != ENOSYS)
		return errno;
	descriptor = node_open(request->mount, request->node, O_RDONLY, &found);
	if (descriptor == -EACCES)
		descriptor = node_open(request->mount, request->node, O_WRONLY, &found);
	if (descriptor < 0)
		return -descriptor;
	failure = fchmod(descriptor, mode) != 0 ? errno : 0;
	close(descriptor);
	return failure;
}

/* A file never gets another owner; that it gets the one that it has is no error. */
static int check_owner(const struct mount *mount, const struct fuse_setattr_in *in, const struct statx *found)
{
	struct fuse_attr now;

	fill_attributes(mount, found, &now);
	return (in->valid & FATTR_UID && in->uid != now.uid) || (in->valid & FATTR_GID && in->gid != now.gid) ? EPERM : 0;
}

static struct timespec time_of(uint32_t valid, uint32_t set, uint32_t set_now, uint64_t seconds, uint32_t nanoseconds)
{
	struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = nanoseconds % 1000000000};

	if (valid & set_now)
		time.tv_nsec = UTIME_NOW;
	else if (!(valid & set))
		time.tv_nsec = UTIME_OMIT;
	return time;
}

static int set_times(int descriptor, const struct place *place, const struct fuse_setattr_in *in)
{
	struct timespec times[2] = {
		time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
		time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
	};
	int result = descriptor >= 0 ? futimens(descriptor, times) :
				       utimensat(place->directory, place->name, times, AT_SYMLINK_NOFOLLOW);

	return result != 0 ? errno : 0;
}

int do_setattr(struct request *request)
{
	AUTO_PLACE place = {0};
	struct fuse_setattr_in in;
	struct statx found;
	int failure, descriptor, handle;

	if (!request_take(request, &in, sizeof in))
		return EINVAL;
	handle = named(request, in.fh, in.valid & FATTR_FH);
	failure = node_look(request->mount, request->node, &place, &descriptor, &found);
	if (!failure)
		failure = check_owner(request->mount, &in, &found);
	if (!failure && in.valid & FATTR_SIZE)
		failure = set_size(request, handle >= 0 ? handle : descriptor, in.size);
	/* No program of a guest runs with the rights of the host's user. Of a directory these bits lend no rights. */
	if (!failure && in.valid & FATTR_MODE)
		failure = set_mode(request, descriptor, &place, in.mode & (S_ISDIR(found.stx_mode) ? EVERY_BIT : RIGHTS));
	if (!failure && in.valid & (FATTR_ATIME | FATTR_MTIME))
		failure = set_times(descriptor, &place, &in);
	if (!failure)
		failure = descriptor >= 0 ? look_at(descriptor, &found) : place_look(&place, &found);
	if (!failure)
		put_attributes(request, &found);
	return failure;
}

int do_statfs(struct request *request)
{
	struct statvfs found;
	struct fuse_statfs_out out = {0};

	if (fstatvfs(request->mount->directory, &found) != 0)
		return errno;
	out.st = (struct fuse_kstatfs){
		.blocks = found.f_blocks,
		.bfree = found.f_bfree,
		.bavail = found.f_bavail,
		.files = found.f_files,
		.ffree = found.f_ffree,
		.bsize = (uint32_t)found.f_bsize,
		.namelen = (uint32_t)found.f_namemax,
		.frsize = (uint32_t)found.f_frsize,
	};
	request_put(request, &out, sizeof out);
	return 0;
}
