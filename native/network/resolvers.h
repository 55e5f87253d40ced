/* The name servers that a host asks: what resolv.conf says. */
#ifndef BANGER_RESOLVERS_H
#define BANGER_RESOLVERS_H

#include <netinet/in.h>
#include <stddef.h>

enum { RESOLVERS_MOST = 3, RESOLVER_SCOPE = 16 };

struct resolver {
	struct in6_addr host;      /* IPv4 as ::ffff:a.b.c.d */
	char scope[RESOLVER_SCOPE]; /* the interface of a link-local address, by name or number; "" for none */
};

/* Reads the `nameserver` lines of a resolv.conf, the first RESOLVERS_MOST. Lines that cannot be read do not count. None at
 * all: the one of libc, 127.0.0.1. Returns how many. */
size_t resolvers_read(const char *text, size_t length, struct resolver resolvers[RESOLVERS_MOST]);

#endif
