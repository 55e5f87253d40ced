/* What something is to be mounted on. */
#ifndef BANGER_MOUNT_POINT_H
#define BANGER_MOUNT_POINT_H

#include <stdbool.h>

#include "err.h"

/* Makes the directory, or the empty file, with what is missing above it, unless it is there; also on a root that is
 * protected. */
int mount_point_ensure(const char *path, bool is_file, struct err *err);

#endif
