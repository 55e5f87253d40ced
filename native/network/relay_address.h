/* Addresses with a port, of both families in one form: an IPv4 address is kept as ::ffff:a.b.c.d. */
#ifndef BANGER_RELAY_ADDRESS_H
#define BANGER_RELAY_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct endpoint {
	struct in6_addr host;
	uint16_t port; /* in the host's order */
};

/* What the kernel takes and gives. */
union socket_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_storage most;
};

enum { ADDRESS_TEXT = INET6_ADDRSTRLEN };

bool address_is_v4(const struct in6_addr *host);
bool address_same(const struct in6_addr *one, const struct in6_addr *other);
bool endpoint_same(const struct endpoint *one, const struct endpoint *other);
uint32_t address_hash(const struct in6_addr *host);

/* Reads "10.0.0.1" or "fd00::1"; not "[fd00::1]", not a name. */
bool address_read(const char *text, struct in6_addr *host);
const char *address_write(const struct in6_addr *host, char text[ADDRESS_TEXT]);

bool endpoint_of(const union socket_address *from, struct endpoint *endpoint);
socklen_t endpoint_to(const struct endpoint *endpoint, union socket_address *to);

/* As endpoint_to, for a socket of AF_INET6 that serves both families. */
socklen_t endpoint_to_v6(const struct endpoint *endpoint, union socket_address *to);

#endif
