/* The network interface, by rtnetlink. */
#ifndef BANGER_NET_H
#define BANGER_NET_H

#include "err.h"
#include "err.h"
#include "fields.h"

/* What needs no identity: brings lo up and looks for the first ethernet interface. */
void net_prepare(void);
/* Brings that interface up with MAC, MTU, addresses and routes of the request. May be called again
 * with another identity: what it does not name, and what is right already, stays. */
int net_configure(const struct fields *fields, struct err *err);
/* That interface, 0 if there is none. */
int net_link_index(void);

#endif
