#include "mounts.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "console.h"
#include "fd.h"
#include "files.h"

struct mount_entry {
	const char *type, *target, *options;
	unsigned long flags;
};

static const struct mount_entry early[] = {
	{ "proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "devtmpfs", "/dev", "mode=755", MS_NOSUID },
};

static const struct mount_entry late[] = {
	{ "devpts", "/dev/pts", "mode=620,gid=5,ptmxmode=666", MS_NOSUID | MS_NOEXEC },
	{ "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV },
	{ "tmpfs", "/run", "mode=755", MS_NOSUID | MS_NODEV },
	{ "cgroup2", "/sys/fs/cgroup", "nsdelegate", MS_NOSUID | MS_NODEV | MS_NOEXEC },
};

static void mount_entry(const struct mount_entry *entry)
{
	/* The target is almost always there: make it only when that turns out to be wrong. */
	for (int attempt = 0; attempt < 2; attempt++) {
		if (mount(entry->type, entry->target, entry->type, entry->flags, entry->options) == 0)
			return;
		/* The kernel mounts devtmpfs by itself where it was built to. */
		if (errno == EBUSY)
			return;
		if (errno != ENOENT || make_directories(entry->target) < 0)
			break;
	}
	console("cannot mount %s: %s", entry->target, strerror(errno));
}

static void mount_all(const struct mount_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		mount_entry(&entries[i]);
}

void mounts_early(void)
{
	mount_all(early, sizeof early / sizeof early[0]);
}

static void link_devices(void)
{
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
	};

	for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
		if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
			console("cannot link %s: %s", links[i][1], strerror(errno));
}

void mounts_late(void)
{
	mount_all(early, sizeof early / sizeof early[0]);
	mount_all(late, sizeof late / sizeof late[0]);
	link_devices();
}
