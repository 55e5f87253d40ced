#ifndef BANGER_CMDLINE_H
#define BANGER_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>

/* The value of `key=` on the kernel command line, or of the bare word `key` (then empty). */
bool cmdline_get(const char *key, char *value, size_t size);

#endif
