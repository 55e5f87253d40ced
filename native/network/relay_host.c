#include "relay_host.h"

#include "ranges.h"
#include "relay_address.h"

#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { V4_BITS = 32, V6_BITS = 128, ANSWER_LENGTH = 4096, ANSWERS = 8 };

/* "Which way would a packet to this address go?" */
struct question {
	struct nlmsghdr head;
	struct rtmsg route;
	struct rtattr attribute;
	uint8_t address[sizeof(struct in6_addr)];
};

static struct in6_addr own[2]; /* an address and what it carries inside */
static struct policy_host host = {.own = own};
static int routes = -1;
static uint32_t asked;

void host_open(const struct in6_addr *gateway_v4, const struct in6_addr *gateway_v6)
{
	host.gateway_v4 = *gateway_v4;
	host.gateway_v6 = *gateway_v6;
}

static bool ask(const struct in6_addr *address)
{
	struct question question = {
		.head = {.nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = ++asked},
		.attribute = {.rta_type = RTA_DST},
	};
	bool v4 = address_is_v4(address);
	size_t skipped = v4 ? sizeof(struct in6_addr) - sizeof(struct in_addr) : 0;
	size_t length = sizeof(struct in6_addr) - skipped;

	question.route.rtm_family = v4 ? AF_INET : AF_INET6;
	question.route.rtm_dst_len = v4 ? V4_BITS : V6_BITS;
	question.attribute.rta_len = (unsigned short)RTA_LENGTH(length);
	memcpy(question.address, &address->s6_addr[skipped], length);
	question.head.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof question.route) + RTA_LENGTH(length));
	if (routes < 0)
		routes = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	return routes >= 0 && send(routes, &question, question.head.nlmsg_len, 0) == (ssize_t)question.head.nlmsg_len;
}

/* The kernel has answered before the call that asked returned. True: to the host itself, or it does not say. */
static bool leads_here(void)
{
	union {
		char bytes[ANSWER_LENGTH];
		struct nlmsghdr head;
	} answer;

	for (int i = 0; i < ANSWERS; i++) {
		ssize_t length = recv(routes, &answer, sizeof answer, MSG_DONTWAIT);
		if (length < (ssize_t)NLMSG_LENGTH(sizeof(struct rtmsg)))
			return true;
		if (answer.head.nlmsg_seq != asked)
			continue;
		/* An error says that there is no way: nobody is reached. */
		if (answer.head.nlmsg_type != RTM_NEWROUTE)
			return answer.head.nlmsg_type != NLMSG_ERROR;
		const struct rtmsg *route = NLMSG_DATA(&answer.head);
		return route->rtm_type == RTN_LOCAL || route->rtm_type == RTN_ANYCAST || route->rtm_type == RTN_BROADCAST;
	}
	return true;
}

static bool is_own(const struct in6_addr *address)
{
	if (ask(address))
		return leads_here();
	if (routes >= 0)
		close(routes);
	routes = -1;
	return true;
}

const struct in6_addr *host_gateway(bool v4)
{
	return v4 ? &host.gateway_v4 : &host.gateway_v6;
}

const struct policy_host *host_of_names(void)
{
	host.own_count = 0;
	return &host;
}

const struct policy_host *host_about(const struct in6_addr *address)
{
	struct in6_addr inner;

	host.own_count = 0;
	if (is_own(address))
		own[host.own_count++] = *address;
	if (range_inner(address, &inner) && is_own(&inner))
		own[host.own_count++] = inner;
	return &host;
}
