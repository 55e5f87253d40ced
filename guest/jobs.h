/* Requests that may take long in the kernel (writing everything back, freezing, growing): each
 * runs in a child, so that nothing else waits. */
#ifndef BANGER_JOBS_H
#define BANGER_JOBS_H

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"
#include "fields.h"
#include "verbs.h"

/* The work returns 0 or -1 with an errno in err. `put`, if any, fills the OK; `undo`, if any, is
 * called when the session has ended that it was done for. */
void job_run(const struct request *request, int (*work)(struct err *err),
	     void (*put)(struct field_writer *fields), void (*undo)(void));
bool jobs_reaped(pid_t pid, int status);

#endif
