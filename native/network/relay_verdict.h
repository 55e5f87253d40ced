/* Whether a guest may reach something, by the policy of its machine; what is denied is counted and told. */
#ifndef BANGER_RELAY_VERDICT_H
#define BANGER_RELAY_VERDICT_H

#include "relay_flow.h"
#include "relay_machine.h"

#include <stdbool.h>

/* `dialed`: what to dial for the target, such as the host's loopback for the address of the gateway. */
bool verdict_allows(struct machine *machine, enum flow_kind kind, const struct endpoint *target, struct endpoint *dialed);

/* The same for a flow that is there, whose policy may have changed; nothing is counted. */
bool verdict_still_allows(const struct flow *flow);

#endif
