/* The name servers that are asked for a machine: its own, or those of the host, as resolv.conf says now. */
#ifndef BANGER_RELAY_UPSTREAM_H
#define BANGER_RELAY_UPSTREAM_H

#include "relay_machine.h"

#include <stddef.h>

/* A socket of this type that is connected to the server with this number, or will be; they begin again after the last.
 * -1: none. */
int upstream_connect(const struct machine *machine, size_t number, int type);

#endif
