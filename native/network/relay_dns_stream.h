/* Questions of guests for names over TCP, one after the other on each connection. */
#ifndef BANGER_RELAY_DNS_STREAM_H
#define BANGER_RELAY_DNS_STREAM_H

#include "relay_machine.h"

/* A connection of a guest to some server, that flow_may_begin has let in. Takes the descriptor. */
void dns_take_stream(int connection, struct machine *machine);

#endif
