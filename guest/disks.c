#include "disks.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cmdline.h"
#include "console.h"
#include "files.h"
#include "fd.h"
#include "loop.h"
#include "uevent.h"

#define ROOT_SERIAL "banger-root"
#define MODULES_SERIAL "banger-modules"
#define VOLUME_SERIAL "banger-volume%lu"

enum { ROOT_WAIT_MS = 5000 };

static bool serial_of(char letter, char *serial, size_t size)
{
	char path[64];

	snprintf(path, sizeof path, "/sys/block/vd%c/serial", letter);
	return file_read_line(path, serial, size) >= 0;
}

/* Disks get their letters in the order of the bus, which is not always the order of the host's
 * command line: the serial decides. */
static bool find_by_serial(const char *wanted, char *device)
{
	char serial[32];

	for (char letter = 'a'; letter <= 'z' && serial_of(letter, serial, sizeof serial); letter++) {
		if (strcmp(serial, wanted) == 0) {
			snprintf(device, DEVICE_NAME_MAX, "/dev/vd%c", letter);
			return true;
		}
	}
	return false;
}

/* A VMM that knows no serials still has an order. */
static bool find_by_letter(char letter, const char *not_this, char *device)
{
	char serial[32];

	if (!serial_of(letter, serial, sizeof serial) || strcmp(serial, not_this) == 0)
		return false;
	snprintf(device, DEVICE_NAME_MAX, "/dev/vd%c", letter);
	return true;
}

static void list_disks(char *list, size_t size)
{
	DIR *directory = opendir("/sys/block");
	struct dirent *entry;
	size_t used = 0;

	list[0] = 0;
	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.' && used + strlen(entry->d_name) + 2 < size)
			used += (size_t)snprintf(list + used, size - used, " %s", entry->d_name);
	if (directory)
		closedir(directory);
}

int disks_find_root(char device[DEVICE_NAME_MAX], struct err *err)
{
	uint64_t deadline = now_ms() + ROOT_WAIT_MS;
	char wanted[DEVICE_NAME_MAX], list[128];
	bool given = cmdline_get("banger.root", wanted, sizeof wanted) && wanted[0] &&
		     strcmp(wanted, "auto") != 0;

	do {
		if (given && access(wanted, F_OK) == 0) {
			memcpy(device, wanted, DEVICE_NAME_MAX);
			return 0;
		}
		if (!given && (find_by_serial(ROOT_SERIAL, device) ||
			       find_by_letter('a', MODULES_SERIAL, device)))
			return 0;
	} while (uevent_wait(deadline));
	list_disks(list, sizeof list);
	return err_set(err, ERR_IO, 0, "no root disk %s; block devices seen:%s",
		       given ? wanted : "(serial " ROOT_SERIAL ", or vda)", list[0] ? list : " none");
}

bool disks_find_modules(char device[DEVICE_NAME_MAX])
{
	char root[DEVICE_NAME_MAX];
	bool given = cmdline_get("banger.modules", device, DEVICE_NAME_MAX) && device[0];

	if (given && strcmp(device, "none") == 0)
		return false;
	if (given && strcmp(device, "auto") != 0)
		return true;
	if (find_by_serial(MODULES_SERIAL, device))
		return true;
	/* By its place only where the root was found that way, too: it might be a user's disk. */
	return given && !find_by_serial(ROOT_SERIAL, root) && find_by_letter('b', ROOT_SERIAL, device);
}

bool disks_find_volume(unsigned long slot, char device[DEVICE_NAME_MAX])
{
	char serial[32];

	snprintf(serial, sizeof serial, VOLUME_SERIAL, slot);
	return find_by_serial(serial, device);
}

const char *disk_type(const char *device)
{
	uint8_t head[2048];
	AUTO_FD fd = open(device, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head)
		return NULL;
	if (memcmp(head, "hsqs", 4) == 0)
		return "squashfs";
	if (memcmp(head + 1024, "\xe2\xe1\xf5\xe0", 4) == 0)
		return "erofs";
	if (memcmp(head + 1024 + 56, "\x53\xef", 2) == 0)
		return "ext4";
	return NULL;
}
