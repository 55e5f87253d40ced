/* What the host says of a volume. Pure, no I/O. */
#ifndef BANGER_VOLUME_H
#define BANGER_VOLUME_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "fields.h"

enum { VOLUMES_MAX = 16 };

struct volume {
	unsigned long slot; /* which of the VMM's disks for volumes */
	uint64_t bytes;	    /* the least size of the disk, of which the kernel may learn late */
	bool read_only, no_copy;
	char path[PATH_MAX];
};

/* "slot bytes flags path", the numbers in decimal; flag 1: for reading only, flag 2: an empty one stays
 * empty. */
int volume_parse(struct span value, struct volume *volume, struct err *err);

#endif
