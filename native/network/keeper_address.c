#include "keeper_address.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

bool address_read(const char *text, int family, struct address *address)
{
	*address = (struct address){.family = family};
	return inet_pton(family, text, address->bytes) == 1;
}

const char *address_write(const struct address *address, char text[ADDRESS_TEXT])
{
	if (!address->family || !inet_ntop(address->family, address->bytes, text, ADDRESS_TEXT))
		strcpy(text, "-");
	return text;
}

size_t address_size(const struct address *address)
{
	return address->family == AF_INET ? 4 : 16;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, address_size(a)) == 0;
}

static bool bit(const struct address *address, unsigned place)
{
	return address->bytes[place / CHAR_BIT] >> (CHAR_BIT - 1 - place % CHAR_BIT) & 1;
}

bool address_within(const struct address *address, const struct prefix *prefix)
{
	if (address->family != prefix->address.family)
		return false;
	for (unsigned i = 0; i < prefix->length; i++)
		if (bit(address, i) != bit(&prefix->address, i))
			return false;
	return true;
}

socklen_t address_socket(const struct address *address, unsigned port, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof *out);
	if (address->family == AF_INET) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)out;
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		memcpy(&v4->sin_addr, address->bytes, sizeof v4->sin_addr);
		return sizeof *v4;
	}
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	memcpy(&v6->sin6_addr, address->bytes, sizeof v6->sin6_addr);
	return sizeof *v6;
}

bool prefix_read(const char *text, int family, struct prefix *prefix)
{
	char address[ADDRESS_TEXT];
	const char *slash = strchr(text, '/');
	char *end;

	if (!slash || (size_t)(slash - text) >= sizeof address || slash[1] < '0' || slash[1] > '9')
		return false;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = 0;
	if (!address_read(address, family, &prefix->address))
		return false;
	unsigned bits = (unsigned)(CHAR_BIT * address_size(&prefix->address));
	unsigned long length = strtoul(slash + 1, &end, 10);
	if (*end || length > bits)
		return false;
	prefix->length = (unsigned)length;
	for (unsigned i = prefix->length; i < bits; i++)
		if (bit(&prefix->address, i))
			return false;
	return true;
}

static struct address first_of(const struct prefix *prefix)
{
	struct address first = prefix->address;

	first.bytes[address_size(&first) - 1] |= 1;
	return first;
}

bool guests_read(const char *v4, const char *v6, struct guests *guests)
{
	if (!prefix_read(v4, AF_INET, &guests->v4) || !prefix_read(v6, AF_INET6, &guests->v6))
		return false;
	if (guests->v4.length > 30 || guests->v6.length > 126)
		return false;
	guests->gateway4 = first_of(&guests->v4);
	guests->gateway6 = first_of(&guests->v6);
	return true;
}

bool guests_may_have(const struct guests *guests, const struct address *address)
{
	const struct prefix *prefix = address->family == AF_INET ? &guests->v4 : &guests->v6;
	const struct address *gateway = address->family == AF_INET ? &guests->gateway4 : &guests->gateway6;

	return address_within(address, prefix) && !address_equal(address, &prefix->address) &&
	       !address_equal(address, gateway);
}
