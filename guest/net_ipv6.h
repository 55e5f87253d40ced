/* What the kernel makes up for IPv6 by itself: addresses out of the MAC, and what routers tell it. */
#ifndef BANGER_NET_IPV6_H
#define BANGER_NET_IPV6_H

#include <stdbool.h>

#include "address.h"

/* fd is a socket of rtnetlink, index the link's. */

/* Whether to believe routers. What they said before goes when they are not to be believed any more. */
void ipv6_believe_routers(int fd, int index, const char *name, bool believe);
/* Addresses made of an earlier MAC go; a link-local one comes back made of the new one, and once the
 * kernel has found that free, it asks the routers for the others. */
void ipv6_follow_mac(int fd, int index, const uint8_t old[MAC_BYTES], const uint8_t fresh[MAC_BYTES]);

#endif
