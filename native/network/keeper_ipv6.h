/* Some hosts are without IPv6. Their guests have IPv4 alone: what would be done for IPv6 counts as done. */
#ifndef BANGER_KEEPER_IPV6_H
#define BANGER_KEEPER_IPV6_H

#include <stdbool.h>

/* Whether the kernel has it. */
bool ipv6_is_here(void);

/* Whether nothing can be done for this family. */
bool family_is_missing(int family);

#endif
