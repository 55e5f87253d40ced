/* Names that the resolver answers itself: machines of the same network, aliases, added hosts. */
#ifndef BANGER_NAMES_H
#define BANGER_NAMES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

enum { NAMES_MOST = 1024, NAME_ADDRESSES_MOST = 32 };

struct names;

/* NULL: no memory. */
struct names *names_new(void);
void names_free(struct names *names);

/* Takes one line, `name NAME ADDRESS...`; a name said again gets more addresses. NULL: taken; otherwise why not, a
 * static text, and nothing was changed. */
const char *names_line(struct names *names, const char *line);

/* Whether there is such a name (any case, no final dot); its addresses of both families, at most
 * NAME_ADDRESSES_MOST. */
bool names_find(const struct names *names, const char *name, const struct in6_addr **addresses, size_t *count);

/* The first name with this address; NULL: none. */
const char *names_of(const struct names *names, const struct in6_addr *address);

#endif
