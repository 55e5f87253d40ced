#include "net.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "console.h"
#include "fd.h"
#include "netlink.h"

enum { LOOPBACK_INDEX = 1, MAC_BYTES = 6, OLD_MAX = 64 };

struct address {
	uint8_t family, prefix, length;
	uint8_t bytes[16];
};

struct link {
	int index; /* 0: there is none */
	unsigned flags;
	uint8_t mac[MAC_BYTES];
};

static void visit_link(const struct nlmsghdr *message, void *context)
{
	struct link *link = context;
	const struct ifinfomsg *info = NLMSG_DATA(message);
	const struct rtattr *attribute = IFLA_RTA(info);
	unsigned left = (unsigned)IFLA_PAYLOAD(message);

	if (info->ifi_type != ARPHRD_ETHER || (link->index && link->index < info->ifi_index))
		return;
	link->index = info->ifi_index;
	link->flags = info->ifi_flags;
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == IFLA_ADDRESS && RTA_PAYLOAD(attribute) == MAC_BYTES)
			memcpy(link->mac, RTA_DATA(attribute), MAC_BYTES);
}

static int find_link(int fd, struct link *link)
{
	struct ifinfomsg body = { .ifi_family = AF_UNSPEC };
	struct netlink_message message;

	memset(link, 0, sizeof *link);
	netlink_begin(&message, RTM_GETLINK, NLM_F_DUMP, &body, sizeof body);
	return netlink_dump(fd, &message, visit_link, link);
}

static int set_up(int fd, int index, bool up)
{
	struct ifinfomsg body = {
		.ifi_index = index,
		.ifi_flags = up ? IFF_UP : 0,
		.ifi_change = IFF_UP,
	};
	struct netlink_message message;

	netlink_begin(&message, RTM_NEWLINK, 0, &body, sizeof body);
	return netlink_run(fd, &message);
}

static int set_attribute(int fd, int index, uint16_t type, const void *value, size_t length)
{
	struct ifinfomsg body = { .ifi_index = index };
	struct netlink_message message;

	netlink_begin(&message, RTM_NEWLINK, 0, &body, sizeof body);
	netlink_attribute(&message, type, value, length);
	return netlink_run(fd, &message);
}

static bool parse_address(struct span span, bool with_prefix, struct address *address)
{
	char text[64], *slash, *end;
	long prefix;

	memset(address, 0, sizeof *address);
	if (!span_copy(span, text, sizeof text))
		return false;
	slash = strchr(text, '/');
	if (slash)
		*slash = 0;
	address->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	address->length = address->family == AF_INET ? 4 : 16;
	address->prefix = (uint8_t)(address->length * 8);
	if (inet_pton(address->family, text, address->bytes) != 1)
		return false;
	if (!slash || !with_prefix)
		return !slash;
	prefix = strtol(slash + 1, &end, 10);
	if (end == slash + 1 || *end || prefix < 0 || prefix > address->length * 8)
		return false;
	address->prefix = (uint8_t)prefix;
	return true;
}

static bool parse_mac(const char *text, uint8_t mac[MAC_BYTES])
{
	for (int i = 0; i < MAC_BYTES; i++) {
		char *end;
		unsigned long byte = strtoul(text, &end, 16);

		if (end != text + 2 || byte > 255 || *end != (i < MAC_BYTES - 1 ? ':' : 0))
			return false;
		mac[i] = (uint8_t)byte;
		text = end + 1;
	}
	return true;
}

/* An earlier identity's addresses, collected before they are removed: deleting while the kernel
 * lists would skip some. */
struct old_addresses {
	int index;
	size_t count;
	struct address list[OLD_MAX];
};

static void visit_address(const struct nlmsghdr *message, void *context)
{
	struct old_addresses *old = context;
	const struct ifaddrmsg *info = NLMSG_DATA(message);
	const struct rtattr *attribute = IFA_RTA(info);
	unsigned left = (unsigned)IFA_PAYLOAD(message);
	struct address *address = &old->list[old->count];

	if ((int)info->ifa_index != old->index || info->ifa_scope == RT_SCOPE_LINK ||
	    old->count == OLD_MAX)
		return;
	address->family = info->ifa_family;
	address->prefix = info->ifa_prefixlen;
	address->length = info->ifa_family == AF_INET ? 4 : 16;
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		/* With IPv6 only IFA_ADDRESS is there; with IPv4 both are, and alike on ethernet. */
		if (attribute->rta_type != IFA_ADDRESS || RTA_PAYLOAD(attribute) != address->length)
			continue;
		memcpy(address->bytes, RTA_DATA(attribute), address->length);
		old->count++;
		return;
	}
}

static int change_address(int fd, int index, const struct address *address, bool add)
{
	struct ifaddrmsg body = {
		.ifa_family = address->family,
		.ifa_prefixlen = address->prefix,
		.ifa_index = (unsigned)index,
		/* The host gave the address: waiting a second for a duplicate is no use. */
		.ifa_flags = add && address->family == AF_INET6 ? IFA_F_NODAD : 0,
	};
	struct netlink_message message;

	netlink_begin(&message, add ? RTM_NEWADDR : RTM_DELADDR,
		      add ? NLM_F_CREATE | NLM_F_REPLACE : 0, &body, sizeof body);
	netlink_attribute(&message, IFA_LOCAL, address->bytes, address->length);
	netlink_attribute(&message, IFA_ADDRESS, address->bytes, address->length);
	if (add && address->family == AF_INET && address->prefix < 31) {
		uint32_t broadcast;

		memcpy(&broadcast, address->bytes, sizeof broadcast);
		broadcast |= htonl(address->prefix ? (1U << (32 - address->prefix)) - 1 : ~0U);
		netlink_attribute(&message, IFA_BROADCAST, &broadcast, sizeof broadcast);
	}
	return netlink_run(fd, &message);
}

static int drop_addresses(int fd, int index)
{
	static struct old_addresses old;
	struct ifaddrmsg body = { .ifa_family = AF_UNSPEC };
	struct netlink_message message;

	memset(&old, 0, sizeof old);
	old.index = index;
	netlink_begin(&message, RTM_GETADDR, NLM_F_DUMP, &body, sizeof body);
	if (netlink_dump(fd, &message, visit_address, &old) < 0)
		return -1;
	for (size_t i = 0; i < old.count; i++)
		change_address(fd, index, &old.list[i], false);
	return 0;
}

static int add_gateway(int fd, int index, const struct address *gateway)
{
	struct rtmsg body = {
		.rtm_family = gateway->family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
		/* The gateway may lie outside the address's prefix, as with a /32. */
		.rtm_flags = RTNH_F_ONLINK,
	};
	struct netlink_message message;

	netlink_begin(&message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof body);
	netlink_attribute(&message, RTA_GATEWAY, gateway->bytes, gateway->length);
	netlink_attribute(&message, RTA_OIF, &index, sizeof index);
	return netlink_run(fd, &message);
}

static int set_mac(int fd, const struct link *link, const struct fields *fields, struct err *err)
{
	char text[32];
	uint8_t mac[MAC_BYTES];

	if (!fields_text(fields, TAG_MAC, text, sizeof text))
		return 0;
	if (!parse_mac(text, mac))
		return err_set(err, ERR_BAD_REQUEST, 0, "not a MAC address: %s", text);
	if (memcmp(mac, link->mac, MAC_BYTES) == 0)
		return 0;
	if ((link->flags & IFF_UP) && set_up(fd, link->index, false) < 0)
		return err_set(err, ERR_IO, errno, "cannot take the link down");
	if (set_attribute(fd, link->index, IFLA_ADDRESS, mac, MAC_BYTES) < 0)
		return err_set(err, ERR_IO, errno, "cannot set MAC address %s", text);
	return 0;
}

static int apply_addresses(int fd, const struct link *link, const struct fields *fields,
			    enum tag tag, struct err *err)
{
	struct fields rest = *fields;
	struct field field;
	struct address address;

	while (fields_next(&rest, &field)) {
		int length = (int)(field.value.length > 64 ? 64 : field.value.length);
		int done;

		if (field.tag != tag)
			continue;
		if (!parse_address(field.value, tag == TAG_ADDRESS, &address))
			return err_set(err, ERR_BAD_REQUEST, 0, "not an address: %.*s", length,
				       field.value.data);
		if (tag == TAG_ADDRESS)
			done = change_address(fd, link->index, &address, true);
		else
			done = add_gateway(fd, link->index, &address);
		if (done < 0)
			return err_set(err, ERR_IO, errno, "cannot set %s %.*s",
				       tag == TAG_ADDRESS ? "address" : "gateway", length,
				       field.value.data);
	}
	return 0;
}

static int configure_link(int fd, const struct link *link, const struct fields *fields,
			  struct err *err)
{
	uint32_t mtu = (uint32_t)fields_int(fields, TAG_MTU, 0);

	if (set_mac(fd, link, fields, err) < 0)
		return -1;
	if (mtu && set_attribute(fd, link->index, IFLA_MTU, &mtu, sizeof mtu) < 0)
		return err_set(err, ERR_IO, errno, "cannot set MTU %u", mtu);
	if ((link->flags & IFF_UP) && drop_addresses(fd, link->index) < 0)
		return err_set(err, ERR_IO, errno, "cannot list addresses");
	if (set_up(fd, link->index, true) < 0)
		return err_set(err, ERR_IO, errno, "cannot bring the link up");
	if (apply_addresses(fd, link, fields, TAG_ADDRESS, err) < 0)
		return -1;
	return apply_addresses(fd, link, fields, TAG_GATEWAY, err);
}

static struct link known_link; /* as found at boot, before anything was changed */

void net_prepare(void)
{
	AUTO_FD fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || set_up(fd, LOOPBACK_INDEX, true) < 0 || find_link(fd, &known_link) < 0)
		console("rtnetlink: %s", strerror(errno));
}

int net_configure(const struct fields *fields, struct err *err)
{
	AUTO_FD fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct link link = known_link;
	struct span wanted;

	if (fd < 0)
		return err_set(err, ERR_IO, errno, "rtnetlink");
	known_link.index = 0;
	if (!link.index && find_link(fd, &link) < 0)
		return err_set(err, ERR_IO, errno, "cannot list links");
	if (link.index)
		return configure_link(fd, &link, fields, err);
	if (fields_span(fields, TAG_ADDRESS, &wanted))
		return err_set(err, ERR_IO, ENODEV, "no network interface for the address");
	return 0;
}
