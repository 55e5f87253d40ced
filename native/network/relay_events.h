/* What is told to those who asked for events: dials that were denied, and knocks at machines that sleep. At most a few
 * a second for each machine; what is held back is counted in a later one. */
#ifndef BANGER_RELAY_EVENTS_H
#define BANGER_RELAY_EVENTS_H

#include "relay_flow.h"
#include "relay_machine.h"

#include <stdbool.h>

void events_denied(struct machine *machine, enum flow_kind kind, const struct endpoint *target, const char *rule);
void events_knock(struct machine *machine);

/* Tells what was held back. True: there is more. */
bool events_tick(void);

#endif
