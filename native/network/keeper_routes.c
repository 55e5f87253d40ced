#include "keeper_routes.h"

#include "keeper_ipv6.h"
#include "keeper_rtnetlink.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <string.h>

enum { LOOPBACK = 1 };
enum { TABLE_RELAY = 100, TABLE_NETWORKS = 1000 };
/* The order of the rules; before them all, the kernel looks for local addresses. */
enum { ORDER_RELAY = 10, ORDER_NETWORKS = 20, ORDER_NOTHING_ELSE = 1000 };

unsigned route_table(unsigned network)
{
	return network ? TABLE_NETWORKS + network : RT_TABLE_MAIN;
}

static bool send_or(struct message *message, int harmless)
{
	return message_send(message) || errno == harmless;
}

static bool raise_loopback(void)
{
	struct ifinfomsg head = {.ifi_index = LOOPBACK, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct message message;

	message_begin(&message, RTM_NEWLINK, 0, &head, sizeof head);
	return message_send(&message);
}

static bool put_address(const struct address *address, unsigned length, unsigned interface)
{
	struct ifaddrmsg head = {
		.ifa_family = (unsigned char)address->family, .ifa_prefixlen = (unsigned char)length, .ifa_index = interface};
	struct message message;

	if (family_is_missing(address->family))
		return true;
	if (address->family == AF_INET6)
		head.ifa_flags = IFA_F_NODAD;
	message_begin(&message, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
	message_add(&message, IFA_LOCAL, address->bytes, address_size(address));
	message_add(&message, IFA_ADDRESS, address->bytes, address_size(address));
	return send_or(&message, EEXIST);
}

bool routes_gateway(unsigned interface)
{
	static const struct address gateway = {.family = AF_INET6, .bytes = {0xfe, 0x80, [15] = 1}};

	return put_address(&gateway, 64, interface);
}

static bool route_everything_here(int family)
{
	struct rtmsg head = {
		.rtm_family = (unsigned char)family, .rtm_table = TABLE_RELAY, .rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_HOST, .rtm_type = RTN_LOCAL};
	struct message message;

	message_begin(&message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
	message_add_number(&message, RTA_OIF, LOOPBACK);
	return send_or(&message, EEXIST);
}

static void begin_rule(struct message *message, int type, int family, struct fib_rule_hdr head, unsigned order)
{
	head.family = (unsigned char)family;
	message_begin(message, type, type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0, &head, sizeof head);
	message_add_number(message, FRA_PRIORITY, order);
}

static bool rule_for_the_relay(int family)
{
	struct message message;

	begin_rule(&message, RTM_NEWRULE, family, (struct fib_rule_hdr){.action = FR_ACT_TO_TBL}, ORDER_RELAY);
	message_add_number(&message, FRA_TABLE, TABLE_RELAY);
	message_add_number(&message, FRA_FWMARK, RELAY_MARK);
	return send_or(&message, EEXIST);
}

static bool rule_for_all_others(int family)
{
	struct fib_rule_hdr head = {.action = FR_ACT_UNREACHABLE, .flags = FIB_RULE_INVERT};
	struct message message;

	begin_rule(&message, RTM_NEWRULE, family, head, ORDER_NOTHING_ELSE);
	message_add(&message, FRA_IIFNAME, "lo", sizeof "lo");
	return send_or(&message, EEXIST);
}

static bool prepare_family(int family)
{
	/* First what closes, then what opens. */
	return family_is_missing(family) || (rule_for_all_others(family) && rule_for_the_relay(family) && route_everything_here(family));
}

bool routes_prepare(const struct guests *guests)
{
	return raise_loopback() && prepare_family(AF_INET) && prepare_family(AF_INET6) &&
	       put_address(&guests->gateway4, 32, LOOPBACK) && put_address(&guests->gateway6, 128, LOOPBACK);
}

static void begin_route(
	struct message *message, int type, int flags, const struct address *guest, unsigned interface, unsigned network)
{
	struct rtmsg head = {
		.rtm_family = (unsigned char)guest->family,
		.rtm_dst_len = (unsigned char)(8 * address_size(guest)),
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = guest->family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST};

	message_begin(message, type, flags, &head, sizeof head);
	message_add(message, RTA_DST, guest->bytes, address_size(guest));
	message_add_number(message, RTA_OIF, interface);
	message_add_number(message, RTA_TABLE, route_table(network));
}

bool route_put(const struct guests *guests, const struct address *guest, unsigned interface, unsigned network)
{
	const struct address *source = guest->family == AF_INET ? &guests->gateway4 : &guests->gateway6;
	struct message message;

	if (family_is_missing(guest->family))
		return true;
	begin_route(&message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, guest, interface, network);
	message_add(&message, RTA_PREFSRC, source->bytes, address_size(source));
	return message_send(&message);
}

bool route_drop(const struct address *guest, unsigned interface, unsigned network)
{
	struct message message;

	if (family_is_missing(guest->family))
		return true;
	begin_route(&message, RTM_DELROUTE, 0, guest, interface, network);
	/* The kernel drops routes of an interface that ends or goes down. */
	return send_or(&message, ESRCH) || errno == ENODEV;
}

static bool change_rule(int type, int family, const char *interface, unsigned network, int harmless)
{
	struct message message;

	if (family_is_missing(family))
		return true;
	begin_rule(&message, type, family, (struct fib_rule_hdr){.action = FR_ACT_TO_TBL}, ORDER_NETWORKS);
	message_add_number(&message, FRA_TABLE, route_table(network));
	message_add(&message, FRA_IIFNAME, interface, strlen(interface) + 1);
	return send_or(&message, harmless);
}

bool rule_put(const char *interface, unsigned network)
{
	return change_rule(RTM_NEWRULE, AF_INET, interface, network, EEXIST) &&
	       change_rule(RTM_NEWRULE, AF_INET6, interface, network, EEXIST);
}

bool rule_drop(const char *interface, unsigned network)
{
	/* Both, even if one fails. */
	bool v4 = change_rule(RTM_DELRULE, AF_INET, interface, network, ENOENT);

	return change_rule(RTM_DELRULE, AF_INET6, interface, network, ENOENT) && v4;
}
