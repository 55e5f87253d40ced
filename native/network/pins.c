#include "pins.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_FIRST = 16 };

void pins_free(struct pins *pins)
{
	free(pins->at);
	pins->at = NULL;
	pins->count = pins->room = 0;
}

static struct pin *find(struct pins *pins, const struct in6_addr *address, size_t rule)
{
	for (size_t i = 0; i < pins->count; i++) {
		struct pin *pin = &pins->at[i];
		if (pin->rule == rule && memcmp(&pin->address, address, sizeof *address) == 0)
			return pin;
	}
	return NULL;
}

static bool grow(struct pins *pins)
{
	size_t room = pins->room ? pins->room * 2 : ROOM_FIRST;
	struct pin *at;

	if (room > pins->most)
		room = pins->most;
	if (room == pins->room || !(at = realloc(pins->at, room * sizeof *at)))
		return false;
	pins->at = at;
	pins->room = room;
	return true;
}

/* A place for one more; NULL: no memory for a first one. */
static struct pin *place(struct pins *pins)
{
	struct pin *first = pins->at;

	if (pins->count < pins->room || grow(pins))
		return &pins->at[pins->count++];
	for (size_t i = 1; i < pins->count; i++)
		if (pins->at[i].end < first->end)
			first = &pins->at[i];
	return first;
}

void pins_add(struct pins *pins, const struct in6_addr *address, size_t rule, int64_t end)
{
	struct pin *pin = find(pins, address, rule);

	if (pin && pin->end > end)
		return;
	if (!pin)
		pin = place(pins);
	if (pin)
		*pin = (struct pin){*address, end, rule};
}
