/* The kernel's list of IPv6 addresses, and addresses made of a MAC. Pure, no I/O. */
#ifndef BANGER_INET6_TABLE_H
#define BANGER_INET6_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"

#define INET6_TABLE "/proc/net/if_inet6"

struct inet6_entry {
	uint8_t bytes[16], prefix;
	int index; /* of the link */
	bool link_local, permanent;
};

/* False for a line that is none. */
bool inet6_entry_parse(const char *line, struct inet6_entry *entry);
/* Whether the second half is the MAC's, as RFC 4291 has it. */
bool inet6_is_made_of(const struct inet6_entry *entry, const uint8_t mac[MAC_BYTES]);
void inet6_make_of(struct inet6_entry *entry, const uint8_t mac[MAC_BYTES]);

#endif
