/* Pins: addresses that names led to, each with the rule that the name has and an end. */
#ifndef BANGER_PINS_H
#define BANGER_PINS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pin {
	struct in6_addr address;
	int64_t end; /* in milliseconds */
	size_t rule; /* its place in the policy */
};

struct pins {
	struct pin *at;
	size_t count, room, most;
};

void pins_free(struct pins *pins);

/* Adds a pin, or puts off the end of the one that there is. When there are too many, or no memory for more, it takes the
 * place of the pin that ends first. */
void pins_add(struct pins *pins, const struct in6_addr *address, size_t rule, int64_t end);

#endif
