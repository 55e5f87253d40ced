#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "address.h"
#include "console.h"
#include "loop.h"
#include "net_ipv6.h"
#include "netlink.h"

enum { INDEX_MAX = 32, ADDRESSES_MAX = 64, CARRIER_WAIT_MS = 2000, CARRIER_POLL_MS = 5 };

/* The first ethernet interface by its index, for its name may change; 0: there is none. */
static int link_index;
static bool configured;
/* Kept: opening and closing it takes a clone longer than most of what is said over it. */
static int route_fd = -1;

struct addresses {
	size_t count;
	struct address list[ADDRESSES_MAX];
};

/* What the host gave, in memory that an agent shares with the one that comes after it. */
static struct given {
	struct addresses own, gateways;
} *given;

int net_link_index(void)
{
	return link_index;
}

/* What of a link is read and set by a single number goes by ioctl(2), for which any socket does. It
 * runs much less of the kernel than rtnetlink, and in a restored VM all that runs is slow once. */
static bool ask(int fd, struct ifreq *request, unsigned long what)
{
	return ioctl(fd, (int)what, request) == 0;
}

static bool name_link(int fd, int index, struct ifreq *request)
{
	memset(request, 0, sizeof *request);
	request->ifr_ifindex = index;
	return ask(fd, request, SIOCGIFNAME);
}

static bool set_up(int fd, struct ifreq *request)
{
	if (!ask(fd, request, SIOCGIFFLAGS))
		return false;
	if (request->ifr_flags & IFF_UP)
		return true;
	request->ifr_flags |= IFF_UP;
	return ask(fd, request, SIOCSIFFLAGS);
}

static int find_link(int fd)
{
	struct ifreq request;

	for (int index = 1; index <= INDEX_MAX; index++)
		if (name_link(fd, index, &request) && ask(fd, &request, SIOCGIFHWADDR) &&
		    request.ifr_hwaddr.sa_family == ARPHRD_ETHER)
			return index;
	return 0;
}

static bool addresses_hold(const struct addresses *addresses, const struct address *address)
{
	for (size_t i = 0; i < addresses->count; i++)
		if (address_equal(&addresses->list[i], address))
			return true;
	return false;
}

static int change_address(int fd, const struct address *address, bool add)
{
	struct ifaddrmsg body = {
		.ifa_family = address->family,
		.ifa_prefixlen = address->prefix,
		.ifa_index = (unsigned)link_index,
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

static int add_gateway(int fd, const struct address *gateway)
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
	netlink_attribute(&message, RTA_OIF, &link_index, sizeof link_index);
	return netlink_run(fd, &message);
}

static void collect_addresses(const struct fields *fields, uint16_t tag, bool with_prefix,
			      struct addresses *addresses)
{
	struct fields rest = *fields;
	struct field field;

	addresses->count = 0;
	while (fields_next(&rest, &field))
		if (field.tag == tag && addresses->count < ADDRESSES_MAX &&
		    address_parse(field.value, with_prefix, &addresses->list[addresses->count]))
			addresses->count++;
}

/* Those of an earlier identity go first: one of them may be the way to the same network. What others
 * have set is not asked for, and stays: listing it takes a clone as long as adding one. */
static int set_addresses(int fd, const struct fields *fields, struct err *err)
{
	struct addresses *own = &given->own;
	struct addresses old = *own;

	if (!fields_count(fields, TAG_ADDRESS))
		return 0;
	collect_addresses(fields, TAG_ADDRESS, true, own);
	for (size_t i = 0; i < old.count; i++)
		if (!addresses_hold(own, &old.list[i])) {
			change_address(fd, &old.list[i], false);
			given->gateways.count = 0; /* the kernel drops routes with the address */
		}
	for (size_t i = 0; i < own->count; i++)
		if (!addresses_hold(&old, &own->list[i]) && change_address(fd, &own->list[i], true) < 0) {
			own->count = i;
			return err_set(err, ERR_IO, errno, "cannot set address %zu", i + 1);
		}
	return 0;
}

/* A clone that waited has those of the machine that it becomes. */
static int set_gateways(int fd, const struct fields *fields, struct err *err)
{
	struct addresses gateways, old = given->gateways;

	collect_addresses(fields, TAG_GATEWAY, false, &gateways);
	for (size_t i = 0; i < gateways.count; i++)
		if (!addresses_hold(&old, &gateways.list[i]) && add_gateway(fd, &gateways.list[i]) < 0)
			return err_set(err, ERR_IO, errno, "cannot set gateway %zu", i + 1);
	if (gateways.count)
		given->gateways = gateways;
	return 0;
}

/* virtio-net takes a new MAC address while it is up. */
static int set_mac(int fd, struct ifreq *request, const struct fields *fields, struct err *err)
{
	uint8_t mac[MAC_BYTES], old[MAC_BYTES];
	struct span text;

	if (!fields_span(fields, TAG_MAC, &text) || !mac_parse(text, mac))
		return 0;
	if (!ask(fd, request, SIOCGIFHWADDR))
		return err_set(err, ERR_IO, errno, "cannot read the MAC address");
	if (memcmp(request->ifr_hwaddr.sa_data, mac, MAC_BYTES) == 0)
		return 0;
	memcpy(old, request->ifr_hwaddr.sa_data, MAC_BYTES);
	memcpy(request->ifr_hwaddr.sa_data, mac, MAC_BYTES);
	if (!ask(fd, request, SIOCSIFHWADDR))
		return err_set(err, ERR_IO, errno, "cannot set MAC address %.*s", (int)text.length,
			       text.data);
	ipv6_follow_mac(fd, link_index, old, mac);
	return 0;
}

static int set_mtu(int fd, struct ifreq *request, const struct fields *fields, struct err *err)
{
	int mtu = (int)fields_int(fields, TAG_MTU, 0);

	if (!mtu || (ask(fd, request, SIOCGIFMTU) && request->ifr_mtu == mtu))
		return 0;
	request->ifr_mtu = mtu;
	if (!ask(fd, request, SIOCSIFMTU))
		return err_set(err, ERR_IO, errno, "cannot set MTU %d", mtu);
	return 0;
}

/* The kernel notices only within a second after the link was brought up that it has a carrier. Until
 * then packets pass, but programs that look take the link for broken. */
static void wait_for_carrier(int fd, struct ifreq *request)
{
	uint64_t deadline = now_ms() + CARRIER_WAIT_MS;

	while (ask(fd, request, SIOCGIFFLAGS) && !(request->ifr_flags & IFF_RUNNING) && now_ms() < deadline)
		poll(NULL, 0, CARRIER_POLL_MS);
}

static int configure_link(int fd, const struct fields *fields, struct err *err)
{
	struct ifreq request;

	if (!name_link(fd, link_index, &request))
		return err_set(err, ERR_IO, errno, "the network interface is gone");
	if (fields_count(fields, TAG_IPV6))
		ipv6_believe_routers(fd, link_index, request.ifr_name, fields_int(fields, TAG_IPV6, 0));
	if (set_mac(fd, &request, fields, err) < 0 || set_mtu(fd, &request, fields, err) < 0)
		return -1;
	if (!set_up(fd, &request))
		return err_set(err, ERR_IO, errno, "cannot bring the link up");
	if (set_addresses(fd, fields, err) < 0 || set_gateways(fd, fields, err) < 0)
		return -1;
	if (fields_int(fields, TAG_AWAIT_LINK, 0))
		wait_for_carrier(fd, &request);
	return 0;
}

void net_prepare(void)
{
	static struct given unshared;
	struct ifreq loopback = { .ifr_name = "lo" };

	given = mmap(NULL, sizeof *given, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (given == MAP_FAILED)
		given = &unshared;
	route_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (route_fd < 0 || !set_up(route_fd, &loopback))
		console("lo: %s", strerror(errno));
	link_index = find_link(route_fd);
}

static bool concerns_net(const struct fields *fields)
{
	return fields_count(fields, TAG_ADDRESS) || fields_count(fields, TAG_GATEWAY) ||
	       fields_count(fields, TAG_MAC) || fields_count(fields, TAG_MTU) ||
	       fields_count(fields, TAG_IPV6);
}

int net_configure(const struct fields *fields, struct err *err)
{
	if (configured && !concerns_net(fields))
		return 0;
	if (!link_index)
		link_index = find_link(route_fd);
	if (link_index) {
		if (configure_link(route_fd, fields, err) < 0)
			return -1;
		configured = true;
	} else if (fields_count(fields, TAG_ADDRESS)) {
		return err_set(err, ERR_IO, ENODEV, "no network interface for the address");
	}
	return 0;
}
