/* When the steps of the boot were done, for the host to show. */
#ifndef BANGER_PHASES_H
#define BANGER_PHASES_H

#include "fields.h"

void phase_mark(const char *name);
void phases_put(struct field_writer *fields);

#endif
