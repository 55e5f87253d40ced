/* A root directory that has only the jail's places. */
#ifndef BANGER_ROOT_H
#define BANGER_ROOT_H

#include "jail.h"

/* Call it in a mount namespace of the jail's own. The working directory becomes the new root. A later place may lie
 * within an earlier place. */
void root_change(struct jail *jail);

#endif
