/* The host that the relay runs on: its own addresses, and the addresses by which guests know it. */
#ifndef BANGER_RELAY_HOST_H
#define BANGER_RELAY_HOST_H

#include "policy.h"

void host_open(const struct in6_addr *gateway_v4, const struct in6_addr *gateway_v6);

/* As it is now, to about a second; valid until the next call. */
const struct policy_host *host_now(void);

#endif
