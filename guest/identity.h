/* Who this guest is: what a clone must get before any of its processes runs. */
#ifndef BANGER_IDENTITY_H
#define BANGER_IDENTITY_H

#include "err.h"
#include "fields.h"

/* Clock and random numbers, where given: what also changes for a guest that only stood still. */
int identity_refresh(const struct fields *fields, struct err *err);
/* The clock as it is now: the answer is to be sent at once, so that the host can tell how far off it
 * is. */
void identity_put_clock(struct field_writer *fields);
int identity_set_hostname(const struct fields *fields, struct err *err);
/* Reads what will be written. A frozen VM has it in memory then, and none of its clones has to wait
 * for the disk. */
void identity_warm_up(void);
/* The files below /etc of the root. What cannot be written is told on the console: a read-only or
 * odd image still runs. */
void identity_write_files(const struct fields *fields);

#endif
