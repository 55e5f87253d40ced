#ifndef BANGER_STATS_H
#define BANGER_STATS_H

#include <stdbool.h>

#include "fields.h"

/* The kernel's own counters, as files; the host does the arithmetic. */
void stats_put(struct field_writer *fields);
void stats_put_blocks(struct field_writer *fields);
bool stats_root_read_only(void);
/* How many processes the kernel has killed for lack of memory; 0 if it does not say. */
long stats_oom_kills(void);

#endif
