/* The root disk and the modules disk. */
#ifndef BANGER_ROOT_H
#define BANGER_ROOT_H

#include "err.h"

int root_mount(struct err *err);
/* Makes the mounted disk the root, with all that a userland expects mounted below it. */
int root_switch(struct err *err);
/* Grows the root file system to the size of its disk. */
int root_grow(struct err *err);
/* Writes everything back and holds all writers. Already being in the state is success. */
int root_freeze(struct err *err);
int root_thaw(struct err *err);

#endif
