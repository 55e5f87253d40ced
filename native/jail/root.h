/* A root directory that has the jail's places and nothing else. */
#ifndef BANGER_ROOT_H
#define BANGER_ROOT_H

#include "jail.h"

/* In a mount namespace of our own. The working directory becomes the new root. A later
 * place may lie within an earlier one. */
void root_change(struct jail *jail);

#endif
