/* The client of the keeper, who makes sockets in the network of the guests. Asks without waiting; what was asked of a
 * keeper that died is asked again of the next. */
#ifndef BANGER_RELAY_KEEPER_H
#define BANGER_RELAY_KEEPER_H

#include "relay_address.h"
#include "relay_packet.h"

#include <stdbool.h>

/* Takes what it wants out of the packet. NULL: the keeper refused. */
typedef void keeper_answer(void *context, struct packet *answer);

/* The path of the keeper's socket; it is connected to when the keeper is there. `again` is called at each connection.
 * False: the path is too long for a socket. */
bool keeper_open(const char *path, void (*again)(void));

/* False: too many requests wait, or the request is too long. */
bool keeper_ask(keeper_answer *then, void *context, const char *request, ...) __attribute__((format(printf, 3, 4)));

/* Nobody waits for the answers of this context any more. */
void keeper_forget(const void *context);

/* Connects if there is no connection. True: it tries again later. */
bool keeper_tick(void);

#endif
