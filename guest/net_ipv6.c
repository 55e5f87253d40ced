#include "net_ipv6.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/rtnetlink.h>

#include "console.h"
#include "fd.h"
#include "files.h"
#include "inet6_table.h"
#include "netlink.h"

enum { DEFAULT_ROUTES_MAX = 8 };

static int change_address(int fd, int index, const struct inet6_entry *entry, uint16_t type)
{
	struct ifaddrmsg body = {
		.ifa_family = AF_INET6,
		.ifa_prefixlen = entry->prefix,
		.ifa_index = (unsigned)index,
	};
	struct netlink_message message;

	netlink_begin(&message, type, type == RTM_NEWADDR ? NLM_F_CREATE : 0, &body, sizeof body);
	netlink_attribute(&message, IFA_LOCAL, entry->bytes, sizeof entry->bytes);
	netlink_attribute(&message, IFA_ADDRESS, entry->bytes, sizeof entry->bytes);
	return netlink_run(fd, &message);
}

struct change {
	int fd, index;
	const uint8_t *old, *fresh;
};

static void follow(char *line, void *context)
{
	const struct change *change = context;
	struct inet6_entry entry;

	if (!inet6_entry_parse(line, &entry) || entry.index != change->index ||
	    !inet6_is_made_of(&entry, change->old))
		return;
	if (change_address(change->fd, change->index, &entry, RTM_DELADDR) < 0 || !entry.link_local)
		return;
	inet6_make_of(&entry, change->fresh);
	if (change_address(change->fd, change->index, &entry, RTM_NEWADDR) < 0)
		console("cannot set the link-local address: %s", strerror(errno));
}

void ipv6_follow_mac(int fd, int index, const uint8_t old[MAC_BYTES], const uint8_t fresh[MAC_BYTES])
{
	struct change change = { .fd = fd, .index = index, .old = old, .fresh = fresh };

	file_each_line(INET6_TABLE, follow, &change);
}

static void drop_advertised(char *line, void *context)
{
	const struct change *change = context;
	struct inet6_entry entry;

	if (inet6_entry_parse(line, &entry) && entry.index == change->index && !entry.permanent &&
	    !entry.link_local)
		change_address(change->fd, change->index, &entry, RTM_DELADDR);
}

static int delete_advertised_default(int fd, int index)
{
	struct rtmsg body = {
		.rtm_family = AF_INET6,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_RA,
		.rtm_scope = RT_SCOPE_NOWHERE,
	};
	struct netlink_message message;

	netlink_begin(&message, RTM_DELROUTE, 0, &body, sizeof body);
	netlink_attribute(&message, RTA_OIF, &index, sizeof index);
	return netlink_run(fd, &message);
}

void ipv6_believe_routers(int fd, int index, const char *name, bool believe)
{
	struct change change = { .fd = fd, .index = index };
	char path[64], old[8];
	AUTO_FD file = -1;

	snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%.16s/accept_ra", name);
	if (file_read_line(path, old, sizeof old) < 0 || (strcmp(old, "0") != 0) == believe)
		return; /* so it is, or there is no IPv6 */
	file = open(path, O_WRONLY | O_CLOEXEC);
	if (file < 0 || write(file, believe ? "1" : "0", 1) < 0)
		console("%s: %s", path, strerror(errno));
	if (believe)
		return;
	for (int i = 0; i < DEFAULT_ROUTES_MAX && delete_advertised_default(fd, index) == 0; i++)
		;
	file_each_line(INET6_TABLE, drop_advertised, &change);
}
