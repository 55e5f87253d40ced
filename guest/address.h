/* Addresses as text. Pure, no I/O. */
#ifndef BANGER_ADDRESS_H
#define BANGER_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "fields.h"

enum { MAC_BYTES = 6 };

struct address {
	uint8_t family, prefix, length;
	uint8_t bytes[16];
};

/* IPv4 or IPv6. A prefix, if one may be there, is the whole address where there is none. */
bool address_parse(struct span span, bool with_prefix, struct address *address);
bool address_equal(const struct address *a, const struct address *b);
bool mac_parse(struct span span, uint8_t mac[MAC_BYTES]);

#endif
