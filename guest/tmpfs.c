#include "tmpfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "files.h"

static bool is_protected;

int tmpfs_parse(struct span value, struct tmpfs_wish *wish, struct err *err)
{
	char *rest, *path;

	if (!span_copy(value, wish->text, sizeof wish->text))
		return err_set(err, ERR_BAD_REQUEST, 0, "a tmpfs is too long");
	errno = 0;
	wish->flags = strtoul(wish->text, &rest, 10);
	if (errno || rest == wish->text || *rest != ' ')
		return err_set(err, ERR_BAD_REQUEST, 0, "a tmpfs without flags");
	wish->options = rest + 1;
	path = strchr(rest + 1, ' ');
	if (!path || path[1] != '/')
		return err_set(err, ERR_BAD_REQUEST, 0, "a tmpfs without an absolute path");
	*path = 0;
	wish->path = path + 1;
	return 0;
}

static int tmpfs_mount(struct span value, struct err *err)
{
	static struct tmpfs_wish wish;

	if (tmpfs_parse(value, &wish, err) < 0)
		return -1;
	if (make_directories(wish.path) < 0)
		return err_set(err, ERR_IO, errno, "%.120s", wish.path);
	if (mount("tmpfs", wish.path, "tmpfs", wish.flags, wish.options) < 0)
		return err_set(err, ERR_IO, errno, "tmpfs on %.120s", wish.path);
	return 0;
}

int tmpfs_mount_all(const struct fields *fields, struct err *err)
{
	struct fields rest = *fields;
	struct field field;

	while (fields_next(&rest, &field))
		if (field.tag == TAG_TMPFS && tmpfs_mount(field.value, err) < 0)
			return -1;
	return 0;
}

/* The mount, and not the file system: a freeze for a snapshot, and its growth, go on as before. */
static int remount(unsigned long flags)
{
	return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | flags, NULL);
}

void root_unprotect(void)
{
	if (is_protected)
		remount(0);
}

int root_protect(const struct fields *fields, struct err *err)
{
	if (fields_int(fields, TAG_PROTECT_ROOT, 0))
		is_protected = true;
	if (is_protected && remount(MS_RDONLY) < 0)
		return err_set(err, ERR_IO, errno, "read-only root");
	return 0;
}
