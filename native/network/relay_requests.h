/* What requests of the control socket mean: text in, text out. */
#ifndef BANGER_RELAY_REQUESTS_H
#define BANGER_RELAY_REQUESTS_H

#include "relay_packet.h"

#include <stdbool.h>
#include <stddef.h>

/* Carries out the request in the packet; takes descriptors out of it if it keeps them. `events` is set if the one who
 * asks wants events from now on. The answer is valid until the next call. */
const char *request_carry_out(struct packet *packet, bool *events, size_t *length);

#endif
