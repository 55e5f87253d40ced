#include "places.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { LOOKED_AT = STATX_BASIC_STATS | STATX_BTIME, TRIES = 8 };

bool mount_open(struct mount *mount, char *path, bool read_only)
{
	struct stat found;

	*mount = (struct mount){.directory = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW), .name = ".", .read_only = read_only};
	if (mount->directory < 0 || fstat(mount->directory, &found) != 0)
		return false;
	mount->device = (uint64_t)major(found.st_dev) << 32 | minor(found.st_dev);
	if (S_ISDIR(found.st_mode))
		return true;
	/* A descriptor of a file leads nowhere without /proc: hold its directory. */
	close(mount->directory);
	mount->name = strrchr(path, '/') + 1;
	mount->is_file = true;
	path[mount->name - path - 1] = 0;
	mount->directory = open(*path ? path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return mount->directory >= 0;
}

void mount_close(struct mount *mount)
{
	nodes_close(&mount->nodes);
	handles_close(&mount->handles);
	close(mount->directory);
}

static int open_beneath(int directory, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long descriptor = -1;

	/* The kernel gives up where something is moved on the host at the same moment. */
	for (int i = 0; i < TRIES; i++) {
		descriptor = syscall(SYS_openat2, directory, path, &how, sizeof how);
		if (descriptor >= 0 || errno != EAGAIN)
			break;
	}
	return (int)descriptor;
}

int place_below(struct mount *mount, const struct node *parent, const char *name, struct place *place)
{
	char path[PATH_MAX];

	*place = (struct place){.directory = mount->directory, .name = name};
	if (mount->is_file)
		return ENOTDIR;
	if (parent == &mount->nodes.root)
		return 0;
	if (!nodes_path(&mount->nodes, parent, path))
		return ENAMETOOLONG;
	place->directory = open_beneath(mount->directory, path, O_PATH | O_DIRECTORY);
	place->owned = place->directory >= 0;
	return place->owned ? 0 : errno == ELOOP || errno == ENOENT ? ESTALE : errno;
}

int place_of(struct mount *mount, const struct node *node, struct place *place)
{
	if (node != &mount->nodes.root)
		return place_below(mount, node->parent, node->name, place);
	*place = (struct place){.directory = mount->directory, .name = mount->name};
	return 0;
}

void place_leave(struct place *place)
{
	if (place->owned)
		close(place->directory);
	place->owned = false;
}

int place_look(const struct place *place, struct statx *found)
{
	return statx(place->directory, place->name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, LOOKED_AT, found) ? errno : 0;
}

int look_at(int descriptor, struct statx *found)
{
	return statx(descriptor, "", AT_EMPTY_PATH, LOOKED_AT, found) ? errno : 0;
}

struct identity identity_of(const struct statx *found)
{
	struct identity identity = {
		.device = (uint64_t)found->stx_dev_major << 32 | found->stx_dev_minor,
		.inode = found->stx_ino,
		.kind = found->stx_mode & S_IFMT,
	};

	if (found->stx_mask & STATX_BTIME)
		identity.born_ns = (uint64_t)found->stx_btime.tv_sec * 1000000000 + found->stx_btime.tv_nsec;
	return identity;
}

static bool is_it(const struct mount *mount, const struct node *node, const struct statx *found)
{
	struct identity identity = identity_of(found);

	return node == &mount->nodes.root || (node->is_there && memcmp(&identity, &node->identity, sizeof identity) == 0);
}

int node_place(struct mount *mount, struct node *node, struct place *place, struct statx *found)
{
	int failure = place_of(mount, node, place);

	if (!failure)
		failure = place_look(place, found);
	if (failure == ENOENT || (!failure && !is_it(mount, node, found)))
		return ESTALE;
	return failure;
}

int node_look(struct mount *mount, struct node *node, struct place *place, int *descriptor, struct statx *found)
{
	int failure = node_place(mount, node, place, found);

	*descriptor = -1;
	if (failure != ESTALE || !node->handles)
		return failure;
	*descriptor = node->handles->descriptor;
	return look_at(*descriptor, found);
}

/* A descriptor that may do what the flags ask for; -1 if none of the node's handles may. */
static int open_again(const struct node *node, int flags)
{
	for (const struct handle *handle = node->handles; handle; handle = handle->next) {
		int access = fcntl(handle->descriptor, F_GETFL) & O_ACCMODE;

		if (handle->is_directory)
			return openat(handle->descriptor, ".", flags | O_CLOEXEC);
		/* All reading and writing names its place, so the two may share theirs. */
		if (access == O_RDWR || access == (flags & O_ACCMODE))
			return fcntl(handle->descriptor, F_DUPFD_CLOEXEC, 0);
	}
	return -1;
}

static int open_nameless(const struct node *node, int flags, struct statx *found)
{
	int descriptor = open_again(node, flags);
	int failure = descriptor < 0 ? ESTALE : look_at(descriptor, found);

	if (!failure)
		return descriptor;
	if (descriptor >= 0)
		close(descriptor);
	return -failure;
}

int node_open(struct mount *mount, struct node *node, int flags, struct statx *found)
{
	AUTO_PLACE place = {0};
	int failure, descriptor;

	/* Where the guest took the name away, no name is to be looked for again. */
	if (!node->is_there && node != &mount->nodes.root)
		return open_nameless(node, flags, found);
	failure = place_of(mount, node, &place);
	if (failure)
		return -failure;
	/* The opening of a pipe would wait, and that of a device do something. */
	descriptor = openat(place.directory, place.name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (descriptor < 0)
		return errno == ENOENT || errno == ELOOP ? -ESTALE : -errno;
	failure = look_at(descriptor, found);
	if (!failure && !is_it(mount, node, found))
		failure = ESTALE;
	if (!failure && !S_ISREG(found->stx_mode) && !S_ISDIR(found->stx_mode))
		failure = EPERM;
	if (!failure)
		return descriptor;
	close(descriptor);
	return -failure;
}
