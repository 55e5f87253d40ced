#include "keeper_taps.h"

#include "keeper_links.h"
#include "keeper_routes.h"
#include "keeper_survey.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct tap taps[TAPS_MOST];
static size_t used; /* taps from here on have never been */
static const char *device;
static const struct guests *guests;

void tap_name(const struct tap *tap, char name[TAP_NAME])
{
	snprintf(name, TAP_NAME, "vm%u", (unsigned)(tap - taps));
}

const struct tap *taps_next(size_t *place)
{
	for (; *place < used; ++*place)
		if (taps[*place].key[0])
			return &taps[*place];
	return NULL;
}

static struct tap *find(const char *key)
{
	for (size_t i = 0; i < used; i++)
		if (strcmp(taps[i].key, key) == 0)
			return &taps[i];
	return NULL;
}

static struct address *addresses_of(struct tap *tap, size_t which)
{
	return which == 0 ? &tap->v4 : &tap->v6;
}

/* Routes to both addresses of the tap, in the table of a network; main table: 0. */
static bool put_routes(struct tap *tap, unsigned network)
{
	for (size_t i = 0; i < 2; i++) {
		const struct address *address = addresses_of(tap, i);
		if (address->family && !route_put(guests, address, tap->interface, network))
			return false;
	}
	return true;
}

static bool drop_routes(struct tap *tap, unsigned network)
{
	bool done = true;

	for (size_t i = 0; i < 2; i++) {
		const struct address *address = addresses_of(tap, i);
		if (address->family && !route_drop(address, tap->interface, network))
			done = false;
	}
	return done;
}

static bool put_all_routes(struct tap *tap)
{
	for (size_t i = 0; i < tap->network_count; i++)
		if (!put_routes(tap, tap->networks[i]))
			return false;
	return put_routes(tap, 0);
}

static bool drop_all_routes(struct tap *tap)
{
	bool done = drop_routes(tap, 0);

	for (size_t i = 0; i < tap->network_count; i++)
		done = drop_routes(tap, tap->networks[i]) && done;
	return done;
}

/* Opens the tap; if its interface is new, it gets all that is known of the tap. */
static bool attach(struct tap *tap, const char *key)
{
	char name[TAP_NAME];

	tap_name(tap, name);
	tap->descriptor = link_open(device, name);
	if (tap->descriptor < 0)
		return false;
	tap->interface = link_number(name);
	if (tap->interface && link_raise(tap->interface, key) && routes_gateway(tap->interface) && put_all_routes(tap))
		return true;
	int why = errno;
	close(tap->descriptor);
	tap->descriptor = -1;
	errno = why;
	return false;
}

static bool open_for(struct tap *tap, const char *key)
{
	if (tap->descriptor >= 0 ? !link_raise(tap->interface, key) : !attach(tap, key))
		return false;
	strcpy(tap->key, key);
	return true;
}

/* A tap that nobody holds. One that is still open in a process that held it before, or does not work any more, stays
 * aside. */
static enum outcome take_free(const char *key, struct tap **taken)
{
	size_t place = 0;

	while (place < used && (taps[place].key[0] || !open_for(&taps[place], key)))
		place++;
	if (place == TAPS_MOST)
		return TOO_MANY;
	if (place == used) {
		taps[place] = (struct tap){.descriptor = -1};
		if (!open_for(&taps[place], key))
			return FAILED;
		used++;
	}
	*taken = &taps[place];
	return DONE;
}

enum outcome taps_take(const char *key, const struct tap **taken)
{
	struct tap *tap = find(key);
	enum outcome outcome = DONE;

	if (!tap)
		outcome = take_free(key, &tap);
	else if (tap->descriptor < 0 && !attach(tap, key))
		outcome = errno == EBUSY ? HELD : FAILED;
	*taken = tap;
	return outcome;
}

static bool leave(struct tap *tap, size_t place)
{
	char name[TAP_NAME];
	unsigned network = tap->networks[place];

	tap_name(tap, name);
	/* The rule first: if this keeper dies between the two, the tap is not of this network any more. */
	bool done = rule_drop(name, network);
	done = drop_routes(tap, network) && done;
	if (done)
		tap->networks[place] = tap->networks[--tap->network_count];
	return done;
}

static size_t place_of(const struct tap *tap, unsigned network)
{
	size_t place = 0;

	while (place < tap->network_count && tap->networks[place] != network)
		place++;
	return place;
}

enum outcome taps_join(const char *key, unsigned network)
{
	struct tap *tap = find(key);
	char name[TAP_NAME];

	if (!tap)
		return UNKNOWN_KEY;
	size_t place = place_of(tap, network);
	if (place == NETWORKS_MOST)
		return TOO_MANY;
	if (place < tap->network_count)
		return DONE;
	tap_name(tap, name);
	tap->networks[tap->network_count++] = (uint16_t)network;
	if (put_routes(tap, network) && rule_put(name, network))
		return DONE;
	int why = errno;
	(void)leave(tap, place);
	errno = why;
	return FAILED;
}

enum outcome taps_leave(const char *key, unsigned network)
{
	struct tap *tap = find(key);

	if (!tap)
		return UNKNOWN_KEY;
	size_t place = place_of(tap, network);
	return place == tap->network_count || leave(tap, place) ? DONE : FAILED;
}

static enum outcome check_address(const struct tap *tap, const struct address *address)
{
	if (!address->family)
		return DONE;
	if (!guests_may_have(guests, address))
		return ADDRESS_OUTSIDE;
	for (size_t i = 0; i < used; i++)
		if (&taps[i] != tap && (address_equal(&taps[i].v4, address) || address_equal(&taps[i].v6, address)))
			return ADDRESS_TAKEN;
	return DONE;
}

static bool change_addresses(struct tap *tap, const struct address *v4, const struct address *v6)
{
	if (!drop_all_routes(tap))
		return false;
	tap->v4 = *v4;
	tap->v6 = *v6;
	return put_all_routes(tap);
}

enum outcome taps_bind(const char *key, const struct address *v4, const struct address *v6)
{
	struct tap *tap = find(key);

	if (!tap)
		return UNKNOWN_KEY;
	enum outcome outcome = check_address(tap, v4);
	if (outcome == DONE)
		outcome = check_address(tap, v6);
	if (outcome == DONE && !change_addresses(tap, v4, v6))
		outcome = FAILED;
	return outcome;
}

static bool leave_all(struct tap *tap)
{
	bool done = true;

	for (size_t i = tap->network_count; i-- > 0;)
		done = leave(tap, i) && done;
	return done;
}

/* Closing takes what is still on its way to the old guest out of the tap, and shows at the next opening whether the old
 * VMM has ended. */
enum outcome taps_free(const char *key)
{
	static const struct address none;
	struct tap *tap = find(key);

	if (!tap)
		return UNKNOWN_KEY;
	if (!leave_all(tap) || !change_addresses(tap, &none, &none))
		return FAILED;
	if (tap->descriptor >= 0)
		close(tap->descriptor);
	tap->descriptor = -1;
	/* The alias last: until then a new keeper would know that this is not finished. */
	if (!link_rename(tap->interface, "") && errno != ENODEV)
		return FAILED;
	tap->key[0] = 0;
	return DONE;
}

static bool put_all_rules(struct tap *tap)
{
	char name[TAP_NAME];

	tap_name(tap, name);
	for (size_t i = 0; i < tap->network_count; i++)
		if (!rule_put(name, tap->networks[i]))
			return false;
	return true;
}

/* Ends what an earlier keeper began and did not finish. */
static bool settle(struct tap *tap)
{
	if (!tap->key[0])
		return leave_all(tap) && drop_all_routes(tap);
	return put_all_routes(tap) && put_all_rules(tap);
}

bool taps_adopt(void)
{
	if (!survey(taps, &used))
		return false;
	for (size_t i = 0; i < used; i++)
		if (!settle(&taps[i]))
			return false;
	return true;
}

void taps_open(const char *tun, const struct guests *all)
{
	device = tun;
	guests = all;
}

bool taps_prepare(void)
{
	struct tap *spare;

	/* Held by nobody: its key is empty. */
	return take_free("", &spare) == DONE;
}

const struct tap *taps_find(const char *key)
{
	return find(key);
}
