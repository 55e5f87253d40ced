/* Bells: sockets that become readable when a neighbour sends something to a guest. Whoever has one wakes a guest that
 * sleeps. */
#ifndef BANGER_KEEPER_BELL_H
#define BANGER_KEEPER_BELL_H

#include "keeper_address.h"

/* A bell at this interface. It rings for packets on their way to the guest that come from another guest, or that look for
 * the guest because such a packet waits; and never for what the gateway or the outside sends. -1 with errno. */
int bell_hang(unsigned interface, const struct guests *guests);

#endif
