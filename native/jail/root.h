/* A root directory that has the jail's places and nothing else. */
#ifndef BANGER_ROOT_H
#define BANGER_ROOT_H

#include "jail.h"

/* In a mount namespace of our own. The working directory becomes the new root. A place that is a symbolic link is
 * that link inside, too; where it leads to must be a place of its own. A later place may lie within an earlier one. */
void root_change(struct jail *jail);

#endif
