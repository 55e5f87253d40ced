#include <string.h>

#include "check.h"
#include "socket_table.h"

static void those_that_wait_are_found(void)
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

static void connections_with_others_are_found(void)
{
	static const struct {
		const char *line;
		bool found, ipv6;
		uint16_t local_port, remote_port;
	} table[] = {
		{ "   2: 0F02000A:E06E 0202000A:8A2B 01 00000000:00000000", true, false, 57454, 35371 },
		{ "   2: 0F02000A:0016 0202000A:C000 08 00000000:00000000", true, false, 22, 49152 },
		{ "   2: 0F02000A:0016 0202000A:C000 02 00000000:00000000", true, false, 22, 49152 },
		/* listening, over, closed */
		{ "   0: 00000000:1E62 00000000:0000 0A 00000000:00000000", false, false, 0, 0 },
		{ "   2: 0F02000A:0016 0202000A:C000 06 00000000:00000000", false, false, 0, 0 },
		{ "   2: 0F02000A:0016 0202000A:C000 07 00000000:00000000", false, false, 0, 0 },
		/* within the guest */
		{ "   3: 0100007F:8F74 0100007F:1E61 01 00000000:00000000", false, false, 0, 0 },
		{ "   3: 0100007F:8F74 0500007F:1E61 01 00000000:00000000", false, false, 0, 0 },
		{ "   3: 0F02000A:8F74 0F02000A:1E61 01 00000000:00000000", false, false, 0, 0 },
		{ "   0: 00000000000000000000000001000000:0050 00000000000000000000000001000000:8000 01",
		  false, false, 0, 0 },
		{ "   0: 0000000000000000FFFF00000100007F:0050 0000000000000000FFFF00000100007F:8000 01",
		  false, false, 0, 0 },
		{ "   0: 0000000000000000FFFF00000F02000A:0050 0000000000000000FFFF00000202000A:8000 01",
		  true, true, 80, 32768 },
		{ "   0: 000080FE00000000FF005450563412FE:0050 000080FE00000000FF005450563412FF:8000 01",
		  true, true, 80, 32768 },
		/* nonsense */
		{ "  sl  local_address rem_address   st tx_queue rx_queue", false, false, 0, 0 },
		{ "", false, false, 0, 0 },
		{ "   2: 0F02000A:E06E", false, false, 0, 0 },
		{ "   2: 0F02000A:E06E 0202000A:8A2B", false, false, 0, 0 },
		{ "   2: 0F02000A:E06E 000080FE00000000FF005450563412FF:8000 01", false, false, 0, 0 },
		{ "   2: 0F02000A 0202000A:8A2B 01", false, false, 0, 0 },
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct tcp_connection connection;

		CHECK(tcp_connection_parse(table[i].line, &connection) == table[i].found);
		if (!table[i].found)
			continue;
		CHECK(connection.ipv6 == table[i].ipv6);
		CHECK(connection.local_port == table[i].local_port);
		CHECK(connection.remote_port == table[i].remote_port);
	}
}

static void addresses_of_connections_are_in_network_order(void)
{
	static const uint8_t local[4] = { 10, 0, 2, 15 }, remote[4] = { 10, 0, 2, 2 };
	struct tcp_connection connection;

	CHECK(tcp_connection_parse("   2: 0F02000A:E06E 0202000A:8A2B 01", &connection));
	CHECK(memcmp(connection.local, local, sizeof local) == 0);
	CHECK(memcmp(connection.remote, remote, sizeof remote) == 0);
}

void test_sockets(void)
{
	those_that_wait_are_found();
	connections_with_others_are_found();
	addresses_of_connections_are_in_network_order();
}
