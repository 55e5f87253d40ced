#include "relay_host.h"

#include "relay_address.h"
#include "relay_loop.h"

#include <ifaddrs.h>

enum { OWN_MOST = 256, FRESH_MS = 1000 };

static struct in6_addr own[OWN_MOST];
static struct policy_host host = {.own = own};
static int64_t looked;

void host_open(const struct in6_addr *gateway_v4, const struct in6_addr *gateway_v6)
{
	host.gateway_v4 = *gateway_v4;
	host.gateway_v6 = *gateway_v6;
}

static void look(void)
{
	struct ifaddrs *all;

	/* What was known stays if the kernel does not answer now. */
	if (getifaddrs(&all) != 0)
		return;
	host.own_count = 0;
	for (const struct ifaddrs *one = all; one && host.own_count < OWN_MOST; one = one->ifa_next) {
		union socket_address address = {0};
		struct endpoint endpoint;
		if (!one->ifa_addr || (one->ifa_addr->sa_family != AF_INET && one->ifa_addr->sa_family != AF_INET6))
			continue;
		if (one->ifa_addr->sa_family == AF_INET)
			address.v4 = *(const struct sockaddr_in *)(const void *)one->ifa_addr;
		else
			address.v6 = *(const struct sockaddr_in6 *)(const void *)one->ifa_addr;
		if (endpoint_of(&address, &endpoint))
			own[host.own_count++] = endpoint.host;
	}
	freeifaddrs(all);
	looked = loop_now();
}

const struct policy_host *host_now(void)
{
	if (looked == 0 || loop_now() - looked >= FRESH_MS)
		look();
	return &host;
}
