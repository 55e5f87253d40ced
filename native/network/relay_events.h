/* What is told to those who asked for events: dials that were denied, and knocks at machines that sleep, at most a few
 * a second for each machine (what is held back is counted in a later one); and clients whom a guest refused. */
#ifndef BANGER_RELAY_EVENTS_H
#define BANGER_RELAY_EVENTS_H

#include "relay_flow.h"
#include "relay_machine.h"

#include <stdbool.h>

void events_denied(struct machine *machine, enum flow_kind kind, const struct endpoint *target, const char *rule);
void events_knock(struct machine *machine);

/* Hands over the connection of a client of a published port, whom the guest refused at its address. False: nobody
 * takes it. */
bool events_reach(const struct machine *machine, uint16_t port, int client);

/* Tells what was held back. True: there is more. */
bool events_tick(void);

#endif
