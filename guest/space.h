/* A space of pids and mounts for a command that has to be process 1, and for what is executed beside it. Its process 1
 * may end, as that of the machine may not. */
#ifndef BANGER_SPACE_H
#define BANGER_SPACE_H

#include <sys/types.h>

#include "err.h"

/* As fork, into a new space, whose process 1 the child is. */
pid_t space_fork_new(void);
/* In that child: a /proc that shows the space's own processes. */
int space_prepare(struct err *err);
/* As fork, into the space of which `process_1` is the first process. */
pid_t space_fork_into(pid_t process_1);

#endif
