/* UDP flows: one pair of connected sockets for each pair of a guest's and an outer address and port.
 *
 * A flow begins with a datagram at a listener of the guests' network, or at a published port. Its socket in the guests'
 * network comes from the keeper, bound to the address that the guest sent to, so answers come from there. */
#ifndef BANGER_RELAY_UDP_H
#define BANGER_RELAY_UDP_H

#include "relay_flow.h"
#include "relay_loop.h"

/* Datagrams at a listener of the guests' network. */
void udp_arrived(struct watch *listener, uint32_t events);
void udp_prepare_listener(int listener);

/* Datagrams at a published port: asked for the next one until there is none. */
struct publication;
void udp_from_outside(int published, struct publication *publication);
void udp_prepare_published(int published);

/* Flows into this machine that waited for it to wake up go on. */
void udp_wake(struct machine *machine);

#endif
