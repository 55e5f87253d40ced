/* A second layer that needs no namespace: Landlock limits paths, signals and abstract sockets. */
#ifndef BANGER_LANDLOCK_H
#define BANGER_LANDLOCK_H

#include "jail.h"

/* The version of the kernel's interface, 0 where there is none. */
int landlock_version(void);

/* Allows the jail's places only, by their present paths: call it after `root_change`, if that is called at all. */
void landlock_restrict(const struct jail *jail);

#endif
