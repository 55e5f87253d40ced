/* Lines of /proc/net/{tcp,tcp6,udp,udp6}. Pure, no I/O. */
#ifndef BANGER_SOCKET_TABLE_H
#define BANGER_SOCKET_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct socket_entry {
	const char *protocol;
	char address[33]; /* hex digits in network order */
	unsigned port;
	uint64_t inode;
	int pid;
};

/* True for a listening TCP socket and for a UDP socket that is bound and not connected. */
bool socket_entry_parse(const char *protocol, const char *line, struct socket_entry *entry);

struct tcp_connection {
	bool ipv6;
	/* As the kernel keeps them: network order. */
	uint32_t local[4], remote[4];
	uint16_t local_port, remote_port;
};

/* True for a TCP connection with somebody outside: no listening socket, neither end a loopback
 * address, not both the same. */
bool tcp_connection_parse(const char *line, struct tcp_connection *connection);

#endif
