/* The number that Firecracker changes whenever a machine goes on from a snapshot (VM generation ID). */
#ifndef GENERATION_H
#define GENERATION_H

#include <stdbool.h>
#include <stdint.h>

enum { GENERATION_BYTES = 16 };

/* Where it is; NULL if no table of ACPI names it. */
const uint8_t *generation_find(void);

#endif
