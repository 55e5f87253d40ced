/* The host that the relay runs on: whether an address is its own, and the addresses by which guests know it. */
#ifndef BANGER_RELAY_HOST_H
#define BANGER_RELAY_HOST_H

#include "policy.h"

void host_open(const struct in6_addr *gateway_v4, const struct in6_addr *gateway_v6);

/* As far as it concerns this address: if the address, or one that it carries inside, is the host's own at this moment, it
 * is among `own`. While the kernel does not say, every address is taken for an own one. Valid until the next call. */
const struct policy_host *host_about(const struct in6_addr *address);

/* Without own addresses. */
const struct policy_host *host_of_names(void);

/* The address by which guests know the host. */
const struct in6_addr *host_gateway(bool v4);

#endif
