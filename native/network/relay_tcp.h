/* TCP flows: two connections, and the bytes between them.
 *
 * The relay keeps no bytes. It looks at what one socket has received (MSG_PEEK), sends it through the other, and only
 * then takes as much from the first: what a slow reader does not take stays in the kernel's bounded buffers, and the
 * writer feels it. Half-closes and resets pass on to the other side. */
#ifndef BANGER_RELAY_TCP_H
#define BANGER_RELAY_TCP_H

#include "relay_flow.h"
#include "relay_loop.h"

#include <stdbool.h>

struct tcp;

/* One of the two connections. */
struct tcp_end {
	struct watch watch;
	struct tcp *tcp;
	bool readable, writable; /* as far as it is known; a call that would block clears it */
	bool heard_all;          /* the other program has sent its last byte */
};

struct tcp {
	struct flow flow;
	struct task task;
	struct tcp_end guest, other;
	struct tcp_end *dialed; /* the one of the two that waits for its connection; NULL: both are there */
	struct link starving;   /* waits for a socket of the guests' network */
};

/* A connection that a listener of the guests' network has; decides, and dials. */
void tcp_accept(struct watch *listener, uint32_t events);

/* A flow from `client`, an accepted connection from outside, to `target` of the machine; the socket towards the guest is
 * not there yet. Takes the descriptor. NULL: it was reset. */
struct tcp *tcp_from_outside(int client, struct machine *machine, const struct endpoint *target);

/* Dials a guest through a socket of the guests' network. Takes the descriptor. */
void tcp_dial_guest(struct tcp *tcp, int socket);

/* Closes a connection with a reset, so that the other side knows. */
void tcp_refuse(int connection);

#endif
