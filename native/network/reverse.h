/* Names that ask for the name of an address: `5.0.213.10.in-addr.arpa` and `...ip6.arpa`. */
#ifndef BANGER_REVERSE_H
#define BANGER_REVERSE_H

#include <netinet/in.h>
#include <stdbool.h>

/* Whether a name (lower case, no final dot) asks for an address; the address, IPv4 as ::ffff:a.b.c.d. */
bool reverse_read(const char *name, struct in6_addr *address);

#endif
