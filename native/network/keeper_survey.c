#include "keeper_survey.h"

#include "keeper_ipv6.h"
#include "keeper_routes.h"
#include "keeper_rtnetlink.h"

#include <linux/fib_rules.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ODDS_MOST = 256, TEXT = 64 };

/* A rule or a route that does not belong to a membership, or a rule of the first family. */
struct odd {
	size_t place; /* of the tap */
	unsigned interface, network;
	struct address address;
};

static struct {
	struct tap *taps;
	size_t count;
	struct odd odds[ODDS_MOST];
	size_t odd_count;
} seen;

/* The number in "vm7"; TAPS_MOST for other names. */
static size_t place_of(const char *name)
{
	char *end;

	if (strncmp(name, "vm", 2) != 0 || name[2] < '0' || name[2] > '9')
		return TAPS_MOST;
	unsigned long place = strtoul(name + 2, &end, 10);
	return *end || place >= TAPS_MOST ? TAPS_MOST : place;
}

static struct tap *tap_at(size_t place)
{
	for (; seen.count <= place; seen.count++)
		seen.taps[seen.count] = (struct tap){.descriptor = -1};
	return &seen.taps[place];
}

static void on_link(void *context, const struct nlmsghdr *message)
{
	const struct ifinfomsg *head = NLMSG_DATA(message);
	char name[TEXT];

	(void)context;
	message_text(message, sizeof *head, IFLA_IFNAME, name, sizeof name);
	size_t place = place_of(name);
	if (place == TAPS_MOST)
		return;
	struct tap *tap = tap_at(place);
	tap->interface = (unsigned)head->ifi_index;
	message_text(message, sizeof *head, IFLA_IFALIAS, tap->key, sizeof tap->key);
}

static size_t network_place(const struct tap *tap, unsigned network)
{
	size_t place = 0;

	while (place < tap->network_count && tap->networks[place] != network)
		place++;
	return place;
}

static void note(struct odd odd)
{
	if (seen.odd_count < ODDS_MOST)
		seen.odds[seen.odd_count++] = odd;
}

/* The network of a table, 0 for the main table and tables that are not networks. */
static unsigned network_of(uint32_t table)
{
	unsigned first = route_table(NETWORK_FIRST);

	return table < first || table > route_table(NETWORK_LAST) ? 0 : NETWORK_FIRST + (table - first);
}

/* Rules of IPv4 are memberships; `context` is not NULL for IPv6, whose rules must be the same. */
static void on_rule(void *context, const struct nlmsghdr *message)
{
	const struct fib_rule_hdr *head = NLMSG_DATA(message);
	unsigned network = network_of(message_number(message, sizeof *head, FRA_TABLE));
	bool v6 = context != NULL;
	char name[TEXT];

	message_text(message, sizeof *head, FRA_IIFNAME, name, sizeof name);
	size_t place = place_of(name);
	if (!network || place == TAPS_MOST)
		return;
	struct tap *tap = tap_at(place);
	size_t at = network_place(tap, network);
	if (v6 && at == tap->network_count)
		note((struct odd){.place = place, .network = network});
	else if (!v6 && at == tap->network_count && at < NETWORKS_MOST)
		tap->networks[tap->network_count++] = (uint16_t)network;
}

static struct tap *tap_of_interface(unsigned interface)
{
	for (size_t i = 0; i < seen.count; i++)
		if (seen.taps[i].interface == interface)
			return &seen.taps[i];
	return NULL;
}

static void on_route(void *context, const struct nlmsghdr *message)
{
	const struct rtmsg *head = NLMSG_DATA(message);
	const struct rtattr *target = message_find(message, sizeof *head, RTA_DST);
	struct address address = {.family = head->rtm_family};
	uint32_t table = message_number(message, sizeof *head, RTA_TABLE);
	unsigned interface = message_number(message, sizeof *head, RTA_OIF);
	struct tap *tap = interface ? tap_of_interface(interface) : NULL;

	(void)context;
	if (!tap || !target || head->rtm_dst_len != 8 * address_size(&address) || head->rtm_protocol != RTPROT_STATIC)
		return;
	memcpy(address.bytes, RTA_DATA(target), address_size(&address));
	if (table == route_table(0))
		*(address.family == AF_INET ? &tap->v4 : &tap->v6) = address;
	else if (network_of(table) && network_place(tap, network_of(table)) == tap->network_count)
		note((struct odd){.interface = interface, .network = network_of(table), .address = address});
}

static bool drop(const struct odd *odd)
{
	char name[TAP_NAME];

	if (odd->address.family)
		return route_drop(&odd->address, odd->interface, odd->network);
	snprintf(name, sizeof name, "vm%u", (unsigned)odd->place);
	return rule_drop(name, odd->network);
}

static bool drop_odds(void)
{
	for (size_t i = 0; i < seen.odd_count; i++)
		if (!drop(&seen.odds[i]))
			return false;
	return true;
}

bool survey(struct tap taps[TAPS_MOST], size_t *count)
{
	do {
		seen.taps = taps;
		seen.count = seen.odd_count = 0;
		bool v6 = ipv6_is_here();
		if (!rtnetlink_dump(RTM_GETLINK, AF_UNSPEC, on_link, NULL) ||
		    !rtnetlink_dump(RTM_GETRULE, AF_INET, on_rule, NULL) ||
		    (v6 && !rtnetlink_dump(RTM_GETRULE, AF_INET6, on_rule, &seen)) ||
		    !rtnetlink_dump(RTM_GETROUTE, AF_INET, on_route, NULL) ||
		    (v6 && !rtnetlink_dump(RTM_GETROUTE, AF_INET6, on_route, NULL)) || !drop_odds())
			return false;
	} while (seen.odd_count > 0);
	*count = seen.count;
	return true;
}
