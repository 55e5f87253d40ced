/* The values of a CONFIGURE or a REFRESH, all checked before anything is done: what follows may
 * rely on it. Pure, no I/O. */
#ifndef BANGER_VALUES_H
#define BANGER_VALUES_H

#include "err.h"
#include "fields.h"

enum {
	ENTROPY_MIN = 32,
	ENTROPY_MAX = 512,
	HOSTNAME_SIZE = 65,
	MACHINE_ID_LENGTH = 32,
	BOOT_ID_LENGTH = 36,
};

int values_check(const struct fields *fields, struct err *err);

#endif
