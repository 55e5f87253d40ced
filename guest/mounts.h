/* Mounting, in the initramfs and in the root. */
#ifndef BANGER_MOUNTS_H
#define BANGER_MOUNTS_H

#include "err.h"

/* proc, sysfs and devtmpfs of the initramfs. */
void mounts_early(void);
/* All that a Linux userland expects under its root. */
void mounts_late(void);

#endif
