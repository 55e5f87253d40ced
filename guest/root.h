/* The root disk and the modules disk: mounted at boot, made the root at CONFIGURE. */
#ifndef BANGER_ROOT_H
#define BANGER_ROOT_H

#include "err.h"

int root_mount(struct err *err);
void root_mount_modules(void);
int root_switch(struct err *err);
/* Grows the root file system to the size of its disk. */
int root_grow(struct err *err);

#endif
