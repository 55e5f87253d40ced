#include "socket_table.h"

#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

enum {
	STATE_TCP_TIME_WAIT = 0x06,
	STATE_TCP_CLOSED = 0x07,
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

/* The kernel prints each 32-bit word of the address as a number of its own byte order. Returns how
 * many words there are, 0 if that is no address. */
static size_t take_words(const char *text, uint32_t words[4])
{
	size_t length = strcspn(text, ":");

	if ((length != 8 && length != 32) || text[length] != ':')
		return 0;
	for (size_t i = 0; i < length / 8; i++) {
		char part[9];

		memcpy(part, text + i * 8, 8);
		part[8] = 0;
		words[i] = (uint32_t)strtoul(part, NULL, 16);
	}
	return length / 8;
}

static bool take_address(const char *text, char *out)
{
	static const char digits[] = "0123456789abcdef";
	uint32_t words[4];
	size_t count = take_words(text, words);

	for (size_t i = 0; i < count; i++)
		for (int j = 0; j < 8; j++)
			*out++ = digits[ntohl(words[i]) >> (28 - 4 * j) & 15];
	*out = 0;
	return count != 0;
}

static unsigned port_of(const char *end)
{
	return (unsigned)strtoul(end + strcspn(end, ":") + 1, NULL, 16);
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
	entry->port = port_of(local);
	entry->inode = strtoull(word(line, INODE_WORD), NULL, 10);
	return entry->port != 0;
}

static bool is_loopback(const uint32_t words[4], bool ipv6)
{
	bool mapped = !words[0] && !words[1] && words[2] == htonl(0xffff);

	if (ipv6 && !mapped)
		return !words[0] && !words[1] && !words[2] && words[3] == htonl(1);
	return ntohl(words[ipv6 ? 3 : 0]) >> 24 == 127;
}

bool tcp_connection_parse(const char *line, struct tcp_connection *connection)
{
	const char *local = word(line, 1), *remote = word(line, 2);
	unsigned long state = strtoul(word(line, 3), NULL, 16);
	size_t words;

	memset(connection, 0, sizeof *connection);
	words = take_words(local, connection->local);
	if (!words || take_words(remote, connection->remote) != words || !state)
		return false;
	/* Nobody waits for one that is only remembered. */
	if (state == STATE_TCP_LISTEN || state == STATE_TCP_TIME_WAIT || state == STATE_TCP_CLOSED)
		return false;
	connection->ipv6 = words == 4;
	connection->local_port = (uint16_t)port_of(local);
	connection->remote_port = (uint16_t)port_of(remote);
	return !is_loopback(connection->local, connection->ipv6) &&
	       !is_loopback(connection->remote, connection->ipv6) &&
	       memcmp(connection->local, connection->remote, sizeof connection->local) != 0;
}
