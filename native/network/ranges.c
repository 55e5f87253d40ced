#include "ranges.h"

#include <string.h>

/* Bits of a prefix of IPv4, in the 128 of ::ffff:a.b.c.d. */
#define V4(bits) (96 + (bits))
#define MAPPED(a, b, c, d) {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}}}

static const struct closed_range RANGES[] = {
	{"closed unspecified 0.0.0.0/8", MAPPED(0, 0, 0, 0), V4(8), RANGE_NEVER},
	{"closed private 10.0.0.0/8", MAPPED(10, 0, 0, 0), V4(8), RANGE_LOCAL},
	{"closed shared 100.64.0.0/10", MAPPED(100, 64, 0, 0), V4(10), RANGE_LOCAL},
	{"closed metadata 100.100.100.200/32", MAPPED(100, 100, 100, 200), V4(32), RANGE_SENSITIVE},
	{"closed loopback 127.0.0.0/8", MAPPED(127, 0, 0, 0), V4(8), RANGE_NEVER},
	{"closed metadata 168.63.129.16/32", MAPPED(168, 63, 129, 16), V4(32), RANGE_SENSITIVE},
	{"closed link-local 169.254.0.0/16", MAPPED(169, 254, 0, 0), V4(16), RANGE_SENSITIVE},
	{"closed private 172.16.0.0/12", MAPPED(172, 16, 0, 0), V4(12), RANGE_LOCAL},
	{"closed metadata 192.0.0.192/32", MAPPED(192, 0, 0, 192), V4(32), RANGE_SENSITIVE},
	{"closed private 192.168.0.0/16", MAPPED(192, 168, 0, 0), V4(16), RANGE_LOCAL},
	{"closed multicast 224.0.0.0/4", MAPPED(224, 0, 0, 0), V4(4), RANGE_SENSITIVE},
	{"closed reserved 240.0.0.0/4", MAPPED(240, 0, 0, 0), V4(4), RANGE_SENSITIVE},
	{"closed unspecified ::/128", {{{0}}}, 128, RANGE_NEVER},
	{"closed loopback ::1/128", {{{[15] = 1}}}, 128, RANGE_NEVER},
	{"closed translated 64:ff9b:1::/48", {{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}}}, 48, RANGE_SENSITIVE},
	{"closed private fc00::/7", {{{0xfc}}}, 7, RANGE_LOCAL},
	{"closed metadata fd00:42::42/128", {{{0xfd, 0x00, 0x00, 0x42, [15] = 0x42}}}, 128, RANGE_SENSITIVE},
	{"closed metadata fd00:ec2::254/128", {{{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}}}, 128,
	 RANGE_SENSITIVE},
	{"closed metadata fd20:ce::254/128", {{{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}}}, 128,
	 RANGE_SENSITIVE},
	{"closed link-local fe80::/10", {{{0xfe, 0x80}}}, 10, RANGE_SENSITIVE},
	{"closed private fec0::/10", {{{0xfe, 0xc0}}}, 10, RANGE_LOCAL},
	{"closed multicast ff00::/8", {{{0xff}}}, 8, RANGE_SENSITIVE},
};

/* A form of IPv6 that carries an IPv4 address. */
struct form {
	struct in6_addr network;
	uint8_t prefix;
	uint8_t at; /* first of the four bytes */
	uint8_t flip; /* Teredo writes the address inverted */
};

static const struct form FORMS[] = {
	{{{{0}}}, 96, 12, 0}, /* compatible, ::a.b.c.d */
	{{{{[8] = 0xff, [9] = 0xff}}}, 96, 12, 0}, /* translated, ::ffff:0:a.b.c.d */
	{{{{0x00, 0x64, 0xff, 0x9b}}}, 96, 12, 0}, /* NAT64, 64:ff9b::a.b.c.d */
	{{{{0x20, 0x01}}}, 32, 12, 0xff}, /* Teredo, the client's address */
	{{{{0x20, 0x02}}}, 16, 2, 0}, /* 6to4 */
};

const struct closed_range *range_at(size_t place)
{
	return place < sizeof RANGES / sizeof *RANGES ? &RANGES[place] : NULL;
}

bool range_has(const struct in6_addr *network, unsigned prefix, const struct in6_addr *address)
{
	unsigned whole = prefix / 8, rest = prefix % 8;

	if (IN6_IS_ADDR_V4MAPPED(address) && prefix < V4(0))
		return false;
	if (memcmp(network, address, whole) != 0)
		return false;
	return rest == 0 || (network->s6_addr[whole] ^ address->s6_addr[whole]) >> (8 - rest) == 0;
}

bool range_inner(const struct in6_addr *address, struct in6_addr *inner)
{
	if (IN6_IS_ADDR_UNSPECIFIED(address) || IN6_IS_ADDR_LOOPBACK(address))
		return false;
	for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++) {
		const struct form *form = &FORMS[i];
		if (!range_has(&form->network, form->prefix, address))
			continue;
		*inner = (struct in6_addr)MAPPED(0, 0, 0, 0);
		for (int byte = 0; byte < 4; byte++)
			inner->s6_addr[12 + byte] = address->s6_addr[form->at + byte] ^ form->flip;
		return true;
	}
	return false;
}
