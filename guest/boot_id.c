#include "boot_id.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

#include "console.h"
#include "fd.h"
#include "values.h"

#define KERNEL_FILE "/proc/sys/kernel/random/boot_id"

/* Has no name once it is mounted: the mount over the kernel's file and this descriptor keep it.
 * Another id is written through the descriptor, and no second mount is needed. */
static int file = -1;

/* Whatever the image is, one of these is in a file system that the agent mounted, in memory. */
static const char *const places[] = { "/run/banger-boot-id", "/dev/shm/banger-boot-id",
				      "/dev/banger-boot-id" };

static int make_file(const char **path)
{
	int fd = -1;

	for (size_t i = 0; fd < 0 && i < sizeof places / sizeof places[0]; i++) {
		*path = places[i];
		unlink(*path);
		fd = open(*path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	}
	return fd;
}

static int mount_file(const char *path)
{
	int result = mount(path, KERNEL_FILE, NULL, MS_BIND, NULL);

	unlink(path); /* not earlier: what has no name cannot be mounted */
	if (result < 0)
		return -1;
	/* As the kernel's own: not even root can write to it. */
	result = mount(NULL, KERNEL_FILE, NULL,
		       MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	if (result < 0)
		umount2(KERNEL_FILE, MNT_DETACH);
	return result;
}

static int put_id(const char *line, size_t length)
{
	AUTO_FD fresh = -1;
	const char *path;

	if (file >= 0)
		return pwrite(file, line, length, 0) == (ssize_t)length ? 0 : -1;
	fresh = make_file(&path);
	if (fresh < 0 || pwrite(fresh, line, length, 0) != (ssize_t)length || mount_file(path) < 0)
		return -1;
	file = fd_take(&fresh);
	return 0;
}

void boot_id_set(const struct fields *fields)
{
	char line[BOOT_ID_LENGTH + 2];

	if (!fields_text(fields, TAG_BOOT_ID, line, BOOT_ID_LENGTH + 1))
		return;
	strcat(line, "\n");
	if (put_id(line, strlen(line)) < 0)
		console("boot id: %s", strerror(errno));
}
