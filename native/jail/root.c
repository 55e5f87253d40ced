#include "root.h"

#include "fail.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The directory where the new root is put together. Any directory will do: the mounts that the new root hides were
 * taken before, and the old root is left behind afterwards. */
static const char *const SITE = "/usr";

static void inside(char out[PATH_MAX], const char *path)
{
	if (snprintf(out, PATH_MAX, "%s%s", SITE, path) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		fail("path", path);
	}
}

/* A copy of the place's mount, in no namespace yet, with the rights that the place gives. */
static int take_tree(const struct place *place)
{
	struct mount_attr rights = {.attr_set = MOUNT_ATTR_NOSUID};
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, place->source,
	                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (tree < 0)
		fail("open_tree", place->source);
	if (place->kind != PLACE_DEVICE)
		rights.attr_set |= MOUNT_ATTR_NODEV;
	if (place->kind == PLACE_READ)
		rights.attr_set |= MOUNT_ATTR_RDONLY;
	if (place->kind == PLACE_WRITE || place->kind == PLACE_TREE || place->kind == PLACE_SOCKETS)
		rights.attr_set |= MOUNT_ATTR_NOEXEC;
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &rights, sizeof rights) != 0)
		fail("mount_setattr", place->source);
	return tree;
}

static void make_parents(char *path)
{
	for (char *slash = strchr(path + strlen(SITE) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(path, 0755) != 0 && errno != EEXIST && errno != EROFS)
			fail("mkdir", path);
		*slash = '/';
	}
}

static void make_target(const char *path, bool directory)
{
	if (directory) {
		if (mkdir(path, 0755) != 0 && errno != EEXIST)
			fail("mkdir", path);
		return;
	}
	int fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		fail("create", path);
	close(fd);
}

static void put(struct place *place)
{
	char target[PATH_MAX];
	struct stat found;

	inside(target, place->path);
	make_parents(target);
	if (place->kind == PLACE_LINK) {
		if (symlink(place->link, target) != 0 && errno != EEXIST)
			fail("symlink", place->path);
		return;
	}
	if (place->kind == PLACE_SCRATCH) {
		make_target(target, true);
		if (mount("jail", target, "tmpfs", MS_NOSUID, "size=32m,nr_inodes=1k,mode=755") != 0)
			fail("tmpfs", place->path);
		return;
	}
	if (fstat(place->tree, &found) != 0)
		fail("stat", place->path);
	make_target(target, S_ISDIR(found.st_mode));
	if (syscall(SYS_move_mount, place->tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) != 0)
		fail("move_mount", place->path);
	close(place->tree);
	place->tree = -1;
}

/* The device that the program opens before it asks for a tap by name: the tap takes the place of what it has opened. So
 * no program in a jail reaches the driver of taps. */
static void put_stand_in(void)
{
	struct place null = {.kind = PLACE_DEVICE, .path = TAP_DEVICE, .source = "/dev/null"};

	null.tree = take_tree(&null);
	put(&null);
}

void root_change(struct jail *jail)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		fail("private mounts", NULL);
	for (size_t i = 0; i < jail->place_count; i++) {
		if (jail->places[i].kind != PLACE_LINK && jail->places[i].kind != PLACE_SCRATCH)
			jail->places[i].tree = take_tree(&jail->places[i]);
	}
	if (mount("jail", SITE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,nr_inodes=1k,mode=755") != 0)
		fail("tmpfs", NULL);
	mode_t mask = umask(022); /* the program may run as another user */
	for (size_t i = 0; i < jail->place_count; i++)
		put(&jail->places[i]);
	if (jail->tap >= 0)
		put_stand_in();
	umask(mask);
	if (chdir(SITE) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0)
		fail("pivot_root", NULL);
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
		fail("read-only root", NULL);
}
