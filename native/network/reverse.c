#include "reverse.h"

#include "words.h"

#include <stddef.h>
#include <string.h>

static const char V4[] = ".in-addr.arpa";
static const char V6[] = ".ip6.arpa";

enum { NIBBLES = 32 };

/* The last label of the `length` bytes before `end`, and cuts it off. */
static size_t cut_label(const char *name, size_t *length, const char **label)
{
	size_t end = *length, begin = end;

	while (begin > 0 && name[begin - 1] != '.')
		begin--;
	*label = name + begin;
	*length = begin > 0 ? begin - 1 : 0;
	return end - begin;
}

static bool read_v4(const char *name, size_t length, struct in6_addr *address)
{
	char text[INET_ADDRSTRLEN];
	size_t at = 0;

	while (length > 0) {
		const char *label;
		size_t size = cut_label(name, &length, &label);
		if (at + size + 1 > sizeof text)
			return false;
		memcpy(text + at, label, size);
		at += size;
		text[at++] = length > 0 ? '.' : 0;
	}
	return at > 0 && text[at - 1] == 0 && word_is_address(text, address) && !strchr(text, ':');
}

static bool read_v6(const char *name, size_t length, struct in6_addr *address)
{
	static const char digits[] = "0123456789abcdef";

	if (length != 2 * NIBBLES - 1)
		return false;
	memset(address, 0, sizeof *address);
	for (size_t i = 0; i < NIBBLES; i++) {
		const char *letter = name + length - 1 - 2 * i;
		const char *digit = *letter ? strchr(digits, *letter) : NULL;
		if (!digit || (i + 1 < NIBBLES && letter[-1] != '.'))
			return false;
		address->s6_addr[i / 2] |= (uint8_t)((digit - digits) << (i % 2 ? 0 : 4));
	}
	return true;
}

bool reverse_read(const char *name, struct in6_addr *address)
{
	size_t length = strlen(name), v4 = sizeof V4 - 1, v6 = sizeof V6 - 1;

	if (length > v4 && strcmp(name + length - v4, V4) == 0)
		return read_v4(name, length - v4, address);
	return length > v6 && strcmp(name + length - v6, V6) == 0 && read_v6(name, length - v6, address);
}
