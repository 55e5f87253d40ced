/* The explicit list of closed ranges: where guests do not get by default. docs/network.md has the same list. */
#ifndef BANGER_RANGES_H
#define BANGER_RANGES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum range_kind {
	RANGE_LOCAL,    /* opened by `lan` and `host`, and by rules */
	RANGE_SENSITIVE, /* opened by rules that name addresses, never by the answer to a name */
	RANGE_NEVER,    /* not opened at all */
};

struct closed_range {
	const char *text; /* `closed WORD RANGE` */
	struct in6_addr network; /* IPv4 as ::ffff:a.b.c.d */
	uint8_t prefix; /* of 128 bits */
	enum range_kind kind;
};

/* The range at this place of the list; NULL: the list is shorter. */
const struct closed_range *range_at(size_t place);

/* Whether the first `prefix` of 128 bits agree; an IPv4 address is within IPv4 ranges only. */
bool range_has(const struct in6_addr *network, unsigned prefix, const struct in6_addr *address);

/* Some IPv6 addresses carry an IPv4 address, to which packets go in the end: 6to4, Teredo, NAT64, IPv4-compatible and
 * translated forms. Whether this is one, and the IPv4 address inside. */
bool range_inner(const struct in6_addr *address, struct in6_addr *inner);

#endif
