/* The boot id that the guest's programs see. The kernel makes its own once, so that all clones of a
 * frozen VM would have the same. */
#ifndef BANGER_BOOT_ID_H
#define BANGER_BOOT_ID_H

#include "fields.h"

/* BOOT_ID, if there is one, over the kernel's. A failure is told on the console. */
void boot_id_set(const struct fields *fields);

#endif
