/* The root disk and the modules disk. */
#ifndef BANGER_ROOT_H
#define BANGER_ROOT_H

#include <stdint.h>

#include "err.h"

int root_mount(struct err *err);
/* Makes the mounted disk the root, with all that a userland expects mounted below it. */
int root_switch(struct err *err);
/* Grows the root file system to the size of its disk. */
int root_grow(struct err *err);
/* The same once the disk, which the host may be about to resize, has that size; if it does not get
 * it soon, to the size that it has. */
int root_grow_to(uint64_t disk_bytes, struct err *err);
/* Writes everything back and holds all writers. Already being in the state is success. */
int root_freeze(struct err *err);
int root_thaw(struct err *err);
/* To be called where root_freeze() is run by another process. */
void root_will_freeze(void);
/* Thaws what may be frozen by that. Costs nothing otherwise. */
int root_thaw_own(struct err *err);
/* Such a freeze ended after whoever wanted it had gone. */
void root_frozen_in_vain(void);

#endif
