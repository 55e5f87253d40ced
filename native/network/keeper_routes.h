/* Who reaches whom in the guests' network. The main table leads from the keeper's own sockets to each guest. Packets of
 * guests use other tables: one for each network that a guest has joined. What the relay takes has a mark and stays here.
 * All calls may be repeated. They return false with errno. */
#ifndef BANGER_KEEPER_ROUTES_H
#define BANGER_KEEPER_ROUTES_H

#include "keeper_address.h"

enum { NETWORK_FIRST = 1, NETWORK_LAST = 60000 };
enum { RELAY_MARK = 1 };

/* The table of a network, and the main table for network 0. */
unsigned route_table(unsigned network);

/* Loopback, the gateway's addresses on it, and the rules that are the same for all. */
bool routes_prepare(const struct guests *guests);

/* The link-local gateway of this interface. */
bool routes_gateway(unsigned interface);

bool route_put(const struct guests *guests, const struct address *guest, unsigned interface, unsigned network);
bool route_drop(const struct address *guest, unsigned interface, unsigned network);

/* Packets that come from this interface may use the network's table. */
bool rule_put(const char *interface, unsigned network);
bool rule_drop(const char *interface, unsigned network);

#endif
