/* The child's side of an exec: from fork to the program. */
#ifndef BANGER_CHILD_H
#define BANGER_CHILD_H

#include <stdbool.h>

#include "err.h"
#include "fields.h"
#include "users.h"

struct child_plan {
	struct fields fields; /* of the EXEC request */
	bool tty;
	bool process_1; /* it is the first of a new space */
	int stdio[3];  /* pipe ends, -1: /dev/null; unused with a tty */
	int tty_fd;    /* the master's descriptor, from which the child opens its own side */
	int report_fd; /* a failure is written here as a struct err; closed by a successful start */
};

/* The user that the request names; root, if it names none. */
int child_find_user(const struct fields *fields, struct user *user, struct err *err);
/* Undoes what the agent did to signals, for a process that is not the agent. */
void child_reset_signals(void);
_Noreturn void child_run(const struct child_plan *plan);

#endif
