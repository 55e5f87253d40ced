/* Sockets in the guests' network, for the relay outside of it. All are transparent: a socket may have an address of the
 * outside. */
#ifndef BANGER_KEEPER_SOCKETS_H
#define BANGER_KEEPER_SOCKETS_H

#include "keeper_address.h"

enum { LISTENERS = 4, SOCKETS_MOST = 32 };

/* The ports on the namespace's loopback to which nft leads what guests send; those of a family that is missing are any. */
struct listener_ports {
	unsigned tcp4, tcp6, udp4, udp6;
};

/* False with errno. */
bool listeners_open(struct listener_ports *ports);

/* Fills in tcp4 tcp6 udp4 udp6, as far as they are there, and returns their number. They belong to this module. */
size_t listeners_descriptors(int *out);

/* An unconnected TCP socket, for a connection into a guest. -1 with errno. */
int socket_tcp(int family);

/* A UDP socket that has the address `from` and talks to `to` only. -1 with errno. */
int socket_udp(const struct address *from, unsigned from_port, const struct address *to, unsigned to_port);

#endif
