#ifndef BANGER_MODULES_H
#define BANGER_MODULES_H

/* Loads what /modules/order names, and deletes each file: its memory is of no more use. */
void modules_load(void);

#endif
