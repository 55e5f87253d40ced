/* What a process keeps across exec: limits, capabilities, and whether it can gain any. */
#ifndef BANGER_PRIVILEGES_H
#define BANGER_PRIVILEGES_H

#include "jail.h"

/* Never above the hard limits that hold already. */
void privileges_bound(const struct jail *jail);

/* No program gains anything by being executed; no huge pages, which cost memory that is never used. */
void privileges_freeze(void);

/* No capability comes back by executing a program, also to a process that is root. */
void privileges_drop_bounding(void);

/* Becomes the jail's user, if it has one. */
void privileges_change_user(const struct jail *jail);

/* No capability is left. */
void privileges_drop(void);

#endif
