#include "address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static bool parse_prefix(const char *text, struct address *address)
{
	char *end;
	long prefix = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || prefix > address->length * 8)
		return false;
	address->prefix = (uint8_t)prefix;
	return true;
}

bool address_parse(struct span span, bool with_prefix, struct address *address)
{
	char text[64], *slash;

	memset(address, 0, sizeof *address);
	if (!span_copy(span, text, sizeof text))
		return false;
	slash = strchr(text, '/');
	if (slash)
		*slash = 0;
	address->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	address->length = address->family == AF_INET ? 4 : 16;
	address->prefix = (uint8_t)(address->length * 8);
	if (inet_pton(address->family, text, address->bytes) != 1)
		return false;
	return !slash || (with_prefix && parse_prefix(slash + 1, address));
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && a->prefix == b->prefix &&
	       memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static int hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit |= 0x20;
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool mac_parse(struct span span, uint8_t mac[MAC_BYTES])
{
	if (span.length != MAC_BYTES * 3 - 1)
		return false;
	for (int i = 0; i < MAC_BYTES; i++) {
		const char *at = span.data + i * 3;
		int high = hex_digit(at[0]), low = hex_digit(at[1]);

		if (high < 0 || low < 0 || (i < MAC_BYTES - 1 && at[2] != ':'))
			return false;
		mac[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}
