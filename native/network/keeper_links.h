/* Interfaces of taps. Failures: false, 0 or -1, with errno. */
#ifndef BANGER_KEEPER_LINKS_H
#define BANGER_KEEPER_LINKS_H

#include <stdbool.h>

/* Opens the tap of this name, which stays when the descriptor is closed; makes it if there is none. EBUSY: the tap is open
 * already, here or in another process. */
int link_open(const char *device, const char *name);

/* The kernel's number of the interface. */
unsigned link_number(const char *name);

bool link_raise(unsigned interface, const char *alias);
bool link_rename(unsigned interface, const char *alias);

#endif
