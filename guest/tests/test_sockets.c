#include <string.h>

#include "check.h"
#include "socket_table.h"

void test_sockets(void)
{
	static const struct {
		const char *protocol, *line, *address; /* no address: not of interest */
		unsigned port;
		uint64_t inode;
	} table[] = {
		{ "tcp",
		  "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0"
		  "        0 12345 1 0000000000000000 100 0 0 10 0",
		  "7f000001", 8080, 12345 },
		{ "tcp",
		  "   1: 0F02000A:0016 0202000A:C000 01 00000000:00000000 00:00000000 00000000     0"
		  "        0 12346 1",
		  NULL, 0, 0 },
		{ "udp",
		  "  99: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101"
		  "        0 777 2 0000000000000000 0",
		  "00000000", 53, 777 },
		{ "tcp6",
		  "   0: 000080FE00000000FF005450563412FE:0050 00000000000000000000000000000000:0000 0A "
		  "00000000:00000000 00:00000000 00000000     0        0 9 1",
		  "fe80000000000000505400fffe123456", 80, 9 },
		{ "tcp", "  sl  local_address rem_address   st tx_queue rx_queue", NULL, 0, 0 },
		{ "tcp", "", NULL, 0, 0 },
		{ "tcp", "   0: 01:1 00000000:0000 0A 0 0 0 0 0 1", NULL, 0, 0 },
		{ "tcp", "   0: 0100007F 00000000:0000 0A", NULL, 0, 0 },
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct socket_entry entry;
		bool found = socket_entry_parse(table[i].protocol, table[i].line, &entry);

		CHECK(found == (table[i].address != NULL));
		if (!found)
			continue;
		CHECK(entry.port == table[i].port && entry.inode == table[i].inode);
		CHECK(strcmp(entry.address, table[i].address) == 0);
	}
}
