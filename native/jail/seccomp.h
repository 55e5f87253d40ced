/* A filter of system calls: what a confined program never needs, and what a namespace or Landlock does not hold. */
#ifndef BANGER_SECCOMP_H
#define BANGER_SECCOMP_H

#include "jail.h"

#include <stdbool.h>

/* Refuses the calls from now on; ends the jail if the kernel has no filters. */
void seccomp_restrict(const struct jail *jail);

/* Whether the kernel has filters; if not, errno says why. */
bool seccomp_is_there(void);

#endif
