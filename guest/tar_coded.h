/* How libarchive writes an extended attribute: percent signs in its name, as in addresses, and its value in
 * base 64. Both are decoded in their place. */
#ifndef BANGER_TAR_CODED_H
#define BANGER_TAR_CODED_H

#include <stdbool.h>
#include <stddef.h>

/* The length that is left. A percent sign that no two digits follow stands for itself. */
size_t tar_decode_percent(char *text, size_t length);
/* False for what is malformed. Padding at its end may be missing. */
bool tar_decode_base64(char *text, size_t *length);

#endif
