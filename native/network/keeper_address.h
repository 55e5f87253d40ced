/* Addresses of guests and of what they talk to. */
#ifndef BANGER_KEEPER_ADDRESS_H
#define BANGER_KEEPER_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum { ADDRESS_TEXT = INET6_ADDRSTRLEN };

struct address {
	int family; /* AF_INET, AF_INET6; 0: no address */
	unsigned char bytes[16];
};

struct prefix {
	struct address address;
	unsigned length;
};

/* All of the guests of this keeper. The gateway is the first address after that of the prefix itself. */
struct guests {
	struct prefix v4, v6;
	struct address gateway4, gateway6;
};

/* False: not an address of this family. */
bool address_read(const char *text, int family, struct address *address);
/* As "10.213.0.0/16". False: not a prefix of this family, or bits are set below it. */
bool prefix_read(const char *text, int family, struct prefix *prefix);
/* "-" for no address. */
const char *address_write(const struct address *address, char text[ADDRESS_TEXT]);
size_t address_size(const struct address *address);
bool address_equal(const struct address *a, const struct address *b);
bool address_within(const struct address *address, const struct prefix *prefix);
socklen_t address_socket(const struct address *address, unsigned port, struct sockaddr_storage *out);

/* Reads both prefixes. False: one is none, or too small to have a gateway and a guest. */
bool guests_read(const char *v4, const char *v6, struct guests *guests);
/* Whether a guest may have this address: it is one of the prefix, and not of the prefix or the gateway itself. */
bool guests_may_have(const struct guests *guests, const struct address *address);

#endif
