#include "socket_table.h"

#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

enum {
	STATE_TCP_LISTEN = 0x0A,
	STATE_UDP_UNCONNECTED = 0x07,
	INODE_WORD = 9, /* counted from the number of the line */
};

static const char *word(const char *line, int index)
{
	line += strspn(line, " ");
	while (index--) {
		line += strcspn(line, " ");
		line += strspn(line, " ");
	}
	return line;
}

/* The kernel prints each 32-bit word of the address as a number of its own byte order. */
static bool take_address(const char *text, char *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t length = strcspn(text, ":");

	if ((length != 8 && length != 32) || text[length] != ':')
		return false;
	for (size_t i = 0; i < length; i += 8) {
		char part[9];
		uint32_t value;

		memcpy(part, text + i, 8);
		part[8] = 0;
		value = ntohl((uint32_t)strtoul(part, NULL, 16));
		for (int j = 0; j < 8; j++)
			*out++ = digits[value >> (28 - 4 * j) & 15];
	}
	*out = 0;
	return true;
}

bool socket_entry_parse(const char *protocol, const char *line, struct socket_entry *entry)
{
	unsigned long state = strtoul(word(line, 3), NULL, 16);
	const char *local = word(line, 1);

	memset(entry, 0, sizeof *entry);
	if (state != (protocol[0] == 't' ? STATE_TCP_LISTEN : STATE_UDP_UNCONNECTED))
		return false;
	if (!take_address(local, entry->address))
		return false;
	entry->protocol = protocol;
	entry->port = (unsigned)strtoul(local + strcspn(local, ":") + 1, NULL, 16);
	entry->inode = strtoull(word(line, INODE_WORD), NULL, 10);
	return entry->port != 0;
}
