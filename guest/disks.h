/* Which block device is which. */
#ifndef BANGER_DISKS_H
#define BANGER_DISKS_H

#include <stdbool.h>

#include "err.h"

enum { DEVICE_NAME_MAX = 64 };

/* Waits (bounded) for the disk with the root file system. */
int disks_find_root(char device[DEVICE_NAME_MAX], struct err *err);
/* The disk with the kernel's modules; false if there is none. */
bool disks_find_modules(char device[DEVICE_NAME_MAX]);
/* The disk of a volume, by the number of its place; false if there is none. */
bool disks_find_volume(unsigned long slot, char device[DEVICE_NAME_MAX]);
/* The type of its file system, by the magic of that, for each wrong try to mount it would put an error
 * on the console. NULL: none that is known here. */
const char *disk_type(const char *device);

#endif
