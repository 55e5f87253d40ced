#ifndef BANGER_STATS_H
#define BANGER_STATS_H

#include <stdbool.h>

#include "fields.h"

/* The kernel's own counters, as files; the host does the arithmetic. */
void stats_put(struct field_writer *fields);
void stats_put_blocks(struct field_writer *fields);
bool stats_root_read_only(void);
/* Sends the event `oom` if the kernel killed for memory since the last look. */
void stats_tell_oom(void);

#endif
