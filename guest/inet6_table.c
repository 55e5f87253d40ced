#include "inet6_table.h"

#include <stdio.h>
#include <string.h>

#include <linux/if_addr.h>

enum { HALF = 8, SCOPE_LINK = 0x20 };

bool inet6_entry_parse(const char *line, struct inet6_entry *entry)
{
	unsigned index, prefix, scope, flags;

	if (strnlen(line, 2 * sizeof entry->bytes) < 2 * sizeof entry->bytes)
		return false;
	for (size_t i = 0; i < sizeof entry->bytes; i++)
		if (sscanf(line + 2 * i, "%2hhx", &entry->bytes[i]) != 1)
			return false;
	if (sscanf(line + 2 * sizeof entry->bytes, " %x %x %x %x", &index, &prefix, &scope, &flags) != 4 ||
	    prefix > 128)
		return false;
	entry->index = (int)index;
	entry->prefix = (uint8_t)prefix;
	entry->link_local = scope == SCOPE_LINK;
	entry->permanent = flags & IFA_F_PERMANENT;
	return true;
}

static void second_half(const uint8_t mac[MAC_BYTES], uint8_t half[HALF])
{
	const uint8_t made[HALF] = { mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] };

	memcpy(half, made, HALF);
}

bool inet6_is_made_of(const struct inet6_entry *entry, const uint8_t mac[MAC_BYTES])
{
	uint8_t half[HALF];

	second_half(mac, half);
	return memcmp(entry->bytes + HALF, half, HALF) == 0;
}

void inet6_make_of(struct inet6_entry *entry, const uint8_t mac[MAC_BYTES])
{
	second_half(mac, entry->bytes + HALF);
}
