/* The listening sockets of the guests' network: what guests send to the outside arrives here. A host without IPv6 has only
 * those of IPv4. */
#ifndef BANGER_RELAY_LISTENERS_H
#define BANGER_RELAY_LISTENERS_H

#include "relay_loop.h"

#include <stdbool.h>

/* Asks the keeper for them. Those that are there already stay. */
void listeners_want(void);

/* The socket over which a guest's echo requests are answered; -1: none. */
int listeners_echo(bool v4);

/* A listener has no descriptors for what came: it waits until the next tick. */
void listeners_pause(struct watch *listener);

/* True: a listener waits. */
bool listeners_tick(void);

#endif
