#include "mount_point.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "fd.h"
#include "fields.h"
#include "files.h"
#include "tmpfs.h"

static int make(const char *path, bool is_file, struct err *err)
{
	char above[PATH_MAX];

	if (!is_file)
		return make_directories(path) < 0 ? err_set(err, ERR_IO, errno, "%.120s", path) : 0;
	snprintf(above, sizeof above, "%.*s", (int)(strrchr(path, '/') - path), path);
	if (*above && make_directories(above) < 0)
		return err_set(err, ERR_IO, errno, "%.120s", path);
	AUTO_FD fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
	return fd < 0 ? err_set(err, ERR_IO, errno, "%.120s", path) : 0;
}

int mount_point_ensure(const char *path, bool is_file, struct err *err)
{
	static const struct fields none;
	struct err later;
	int done = make(path, is_file, err);

	if (done == 0 || err->number != EROFS)
		return done;
	root_unprotect();
	done = make(path, is_file, err);
	return root_protect(&none, done < 0 ? &later : err) < 0 ? -1 : done;
}
