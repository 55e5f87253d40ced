/* What a process keeps across exec: resource limits, capabilities, and whether it can gain capabilities. */
#ifndef BANGER_PRIVILEGES_H
#define BANGER_PRIVILEGES_H

#include "jail.h"

/* Sets the resource limits, never above the present hard limits. */
void privileges_bound(const struct jail *jail);

/* From now on an executed program gains no privileges, and gets no huge pages, which take memory that is never used. */
void privileges_freeze(void);

/* From now on no process, not even root's, gets capabilities back by executing a program, except the jail's. */
void privileges_drop_bounding(const struct jail *jail);

/* Becomes the jail's user, if it has one. */
void privileges_change_user(const struct jail *jail);

/* Gives up all capabilities except the jail's, of which it keeps those that it has. */
void privileges_drop(const struct jail *jail);

#endif
