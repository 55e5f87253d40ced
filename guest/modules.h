#ifndef BANGER_MODULES_H
#define BANGER_MODULES_H

/* Loads what /modules/order names, and deletes each file: its memory is of no more use. */
void modules_load(void);
/* Loads one by its path below /lib/modules/<release>/. Does nothing where there is none: it may be
 * built in. */
void module_load_installed(const char *path);

#endif
