/* A second wall that stands without any namespace: paths, signals and abstract sockets, kept by Landlock. */
#ifndef BANGER_LANDLOCK_H
#define BANGER_LANDLOCK_H

#include "jail.h"

/* The version of the kernel's interface, 0 where there is none. */
int landlock_version(void);

/* Rules for the places as they are named now: after `root_change`, if that is done at all. */
void landlock_restrict(const struct jail *jail);

#endif
