/* Echo requests (ping) of guests to the outside: asked of the host's network in the relay's own name, and answered in
 * that of the outside. The policy of the machine decides. Nothing is kept but which request is under way, and a request
 * that is not answered is forgotten. */
#ifndef BANGER_RELAY_ECHO_H
#define BANGER_RELAY_ECHO_H

#include "relay_loop.h"

#include <stdbool.h>

/* A raw socket of the host for its family, where the host allows this user no sockets for echo requests. False: it is
 * none. */
bool echo_lend(int socket);

/* Hears of the sockets that were lent. */
void echo_begin(void);

/* Requests of guests. */
void echo_arrived(struct watch *listener, uint32_t events);

#endif
