/* Handing pid 1 to the image's own init. */
#ifndef BANGER_INIT_H
#define BANGER_INIT_H

#include "err.h"
#include "fields.h"

/* Forks: the parent, pid 1, becomes ARGV (default /sbin/init), its child the agent's keeper; the caller
 * goes on in the keeper's child.
 * Whether the program started is told before this returns. */
int init_hand_over(const struct fields *fields, struct err *err);

/* argv[0] of the agent, to be marked for systemd. */
extern char *init_own_name;

#endif
