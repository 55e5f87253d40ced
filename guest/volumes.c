#include "volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include <linux/fs.h>

#include "console.h"
#include "copy_up.h"
#include "disks.h"
#include "fd.h"
#include "files.h"
#include "jobs.h"
#include "loop.h"
#include "out.h"
#include "tmpfs.h"
#include "volume.h"

enum { WAIT_MS = 10000, POLL_MS = 1 };

static struct volume kept[VOLUMES_MAX];
static size_t count, mounted;

static int read_volumes(const struct fields *fields, struct err *err)
{
	struct fields rest = *fields;
	struct field field;

	while (fields_next(&rest, &field)) {
		if (field.tag != TAG_VOLUME)
			continue;
		if (count == VOLUMES_MAX)
			return err_set(err, ERR_BAD_REQUEST, 0, "at most %d volumes", VOLUMES_MAX);
		if (volume_parse(field.value, &kept[count], err) < 0)
			return -1;
		count++;
	}
	return 0;
}

static bool is_large_enough(const char *device, uint64_t wanted)
{
	AUTO_FD disk = open(device, O_RDONLY | O_CLOEXEC);
	uint64_t bytes;

	return disk >= 0 && ioctl(disk, BLKGETSIZE64, &bytes) == 0 && bytes && bytes >= wanted;
}

/* The device was there before its disk was: the kernel learns of that by an interrupt. */
static int find_device(const struct volume *volume, char device[DEVICE_NAME_MAX], struct err *err)
{
	uint64_t deadline = now_ms() + WAIT_MS;

	while (!disks_find_volume(volume->slot, device) || !is_large_enough(device, volume->bytes)) {
		if (now_ms() >= deadline)
			return err_set(err, ERR_IO, 0, "the disk of the volume for %.100s did not come", volume->path);
		poll(NULL, 0, POLL_MS);
	}
	return 0;
}

static int mount_device(const struct volume *volume, const char *device, struct err *err)
{
	const char *type = disk_type(device);

	if (!type || strcmp(type, "ext4") != 0)
		return err_set(err, ERR_IO, 0, "the volume for %.100s has no ext4 file system", volume->path);
	/* Blocks of deleted files become holes of the host's file. After an error nothing more is written. */
	if (mount(device, volume->path, type, volume->read_only ? MS_RDONLY : 0,
		  volume->read_only ? "noinit_itable" : "noinit_itable,discard,errors=remount-ro") < 0)
		return err_set(err, ERR_IO, errno, "cannot mount the volume at %.100s", volume->path);
	return 0;
}

static int mount_one(const struct volume *volume, struct err *err)
{
	char device[DEVICE_NAME_MAX];
	AUTO_FD hidden = -1;

	if (find_device(volume, device, err) < 0)
		return -1;
	if (make_directories(volume->path) < 0)
		return err_set(err, ERR_IO, errno, "%.120s", volume->path);
	hidden = open(volume->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (hidden < 0)
		return err_set(err, ERR_IO, errno, "%.120s", volume->path);
	if (mount_device(volume, device, err) < 0)
		return -1;
	return volume->read_only || volume->no_copy ? 0 : copy_up(hidden, volume->path, err);
}

static int mount_rest(struct err *err)
{
	for (size_t i = mounted; i < count; i++)
		if (mount_one(&kept[i], err) < 0)
			return -1;
	return 0;
}

int volumes_mount_all(const struct fields *fields, struct err *err)
{
	if (read_volumes(fields, err) < 0)
		return -1;
	if (mount_rest(err) < 0)
		return -1;
	mounted = count;
	return 0;
}

/* In a job, as the place may lie in a directory of the host, which a server has to answer for. */
static int mount_late(struct err *err)
{
	static const struct fields none;
	struct err later;
	int done;

	root_unprotect();
	done = mount_rest(err);
	return root_protect(&none, done < 0 ? &later : err) < 0 ? -1 : done;
}

void volumes(const struct request *request)
{
	struct err err;

	if (read_volumes(&request->fields, &err) < 0) {
		out_fail(request->channel, &err);
		return;
	}
	job_run(request, mount_late, NULL, NULL);
	mounted = count;
}

void volumes_put_away(void)
{
	for (size_t i = count; i-- > 0;)
		if (umount2(kept[i].path, 0) < 0 &&
		    mount(NULL, kept[i].path, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0 && errno != EINVAL)
			console("the volume at %s stays mounted: %s", kept[i].path, strerror(errno));
}
