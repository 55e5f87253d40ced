#include "root.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <linux/fs.h>
#include <linux/mount.h>

#include "cmdline.h"
#include "console.h"
#include "device_nodes.h"
#include "disks.h"
#include "ext4.h"
#include "fd.h"
#include "files.h"
#include "loop.h"
#include "modprobe.h"
#include "mounts.h"

#define ROOT_POINT "/root"
#define MODULES_POINT "/modules-disk"
#define EXT4_RESIZE _IOW('f', 16, uint64_t)

enum { RESIZE_WAIT_MS = 2000, RESIZE_POLL_MS = 1 };

static char root_device[DEVICE_NAME_MAX];
static bool modules_mounted;
static int modules_tree = -1; /* a mount that has no place yet */
static bool maybe_frozen;

int root_mount(struct err *err)
{
	char type[32], word[8];
	const char *options = NULL;
	unsigned long flags = cmdline_get("ro", word, sizeof word) ? MS_RDONLY : 0;

	if (disks_find_root(root_device, err) < 0)
		return -1;
	if (!cmdline_get("banger.rootfstype", type, sizeof type) || !type[0])
		strcpy(type, "ext4");
	/* Zeroing inode tables in the background would wake every idle guest for minutes. */
	if (strcmp(type, "ext4") == 0)
		options = "noinit_itable";
	mkdir(ROOT_POINT, 0755);
	if (mount(root_device, ROOT_POINT, type, flags, options) == 0)
		return 0;
	if ((errno == EACCES || errno == EROFS) &&
	    mount(root_device, ROOT_POINT, type, MS_RDONLY, options) == 0)
		return 0;
	return err_set(err, ERR_IO, errno, "cannot mount %s (%s)", root_device, type);
}

static void mount_modules(void)
{
	char device[DEVICE_NAME_MAX];
	const char *type;

	if (!disks_find_modules(device))
		return;
	type = disk_type(device);
	if (!type) {
		console("modules disk %s: no known file system", device);
		return;
	}
	mkdir(MODULES_POINT, 0755);
	/* noload: a journal, should there be one, is none of a read-only disk's business. */
	if (mount(device, MODULES_POINT, type, MS_RDONLY | MS_NOSUID | MS_NODEV,
		  strcmp(type, "ext4") == 0 ? "noload" : NULL) < 0)
		console("modules disk %s: %s", device, strerror(errno));
	else
		modules_mounted = true;
}

/* The place for the modules can only be found from inside the root, where /lib may be a link; the
 * disk can only be reached from outside. A mount held by descriptor spans both. */
static void modules_take(const char *release)
{
	char path[256];

	if (!modules_mounted)
		return;
	snprintf(path, sizeof path, MODULES_POINT "/%s", release);
	modules_tree = (int)syscall(SYS_open_tree, AT_FDCWD, path,
				    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (modules_tree < 0)
		console("modules disk has no %s: %s", release, strerror(errno));
	umount2(MODULES_POINT, MNT_DETACH);
}

static void modules_give(const char *release)
{
	char path[256];

	if (modules_tree < 0)
		return;
	snprintf(path, sizeof path, "/proc/self/fd/%d/modules.devname", modules_tree);
	device_nodes_make(path);
	modprobe_install();
	snprintf(path, sizeof path, "/lib/modules/%s", release);
	if (make_directories(path) < 0 ||
	    syscall(SYS_move_mount, modules_tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		console("cannot mount %s: %s", path, strerror(errno));
	fd_close(&modules_tree);
}

static void leave_initramfs(void)
{
	static const char *const mounted[] = { "/dev", "/sys", "/proc" };

	for (size_t i = 0; i < sizeof mounted / sizeof mounted[0]; i++)
		umount2(mounted[i], MNT_DETACH);
	/* The program lives on without its name; everything else gives its memory back. The modules
	 * went when they were loaded. */
	unlink("/init");
	unlink("/dev/console");
}

int root_switch(struct err *err)
{
	struct utsname system;

	uname(&system);
	mount_modules();
	modules_take(system.release);
	leave_initramfs();
	if (chdir(ROOT_POINT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		return err_set(err, ERR_IO, errno, "cannot switch to the root disk");
	mounts_late();
	modules_give(system.release);
	return 0;
}

static bool disk_measure(int disk, uint64_t *bytes)
{
	return ioctl(disk, BLKGETSIZE64, bytes) == 0;
}

/* The driver learns of a new size by an interrupt. */
static bool disk_wait(int disk, uint64_t wanted, uint64_t *bytes)
{
	uint64_t deadline = now_ms() + RESIZE_WAIT_MS;

	while (disk_measure(disk, bytes)) {
		if (*bytes >= wanted)
			return true;
		if (now_ms() >= deadline) {
			console("%s has %llu bytes, not %llu", root_device, (unsigned long long)*bytes,
				(unsigned long long)wanted);
			return true;
		}
		poll(NULL, 0, RESIZE_POLL_MS);
	}
	return false;
}

int root_grow_to(uint64_t disk_bytes, struct err *err)
{
	AUTO_FD disk = open(root_device, O_RDONLY | O_CLOEXEC);
	AUTO_FD root = -1;
	uint8_t super[EXT4_SUPER_BYTES];
	struct ext4_size size;
	uint64_t bytes, blocks;

	if (disk < 0 || !disk_wait(disk, disk_bytes, &bytes) ||
	    pread(disk, super, sizeof super, EXT4_SUPER_OFFSET) != (ssize_t)sizeof super)
		return err_set(err, ERR_IO, errno, "cannot measure %s", root_device);
	if (!ext4_size_parse(super, &size))
		return err_set(err, ERR_IO, EOPNOTSUPP, "the root is not ext4");
	blocks = bytes / size.block_bytes;
	/* Asking the kernel would flush the journal and read the disk's end only to find that out. */
	if (blocks == size.blocks)
		return 0;
	root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || ioctl(root, EXT4_RESIZE, &blocks) < 0)
		return err_set(err, ERR_IO, errno, "cannot grow the root file system");
	return 0;
}

int root_grow(struct err *err)
{
	return root_grow_to(0, err);
}

static int freeze_or_thaw(unsigned long operation, int done_already, struct err *err)
{
	AUTO_FD root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root < 0 || (ioctl(root, (int)operation, 0) < 0 && errno != done_already))
		return err_set(err, ERR_IO, errno, "cannot freeze or thaw the root");
	return 0;
}

int root_freeze(struct err *err)
{
	sync();
	return freeze_or_thaw(FIFREEZE, EBUSY, err);
}

int root_thaw(struct err *err)
{
	return freeze_or_thaw(FITHAW, EINVAL, err);
}

void root_will_freeze(void)
{
	maybe_frozen = true;
}

int root_thaw_own(struct err *err)
{
	if (!maybe_frozen)
		return 0;
	maybe_frozen = false;
	return root_thaw(err);
}

void root_frozen_in_vain(void)
{
	struct err err;

	/* Otherwise somebody else wants it by now. */
	if (!maybe_frozen)
		root_thaw(&err);
}
