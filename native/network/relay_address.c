#include "relay_address.h"

#include <arpa/inet.h>
#include <string.h>

bool address_is_v4(const struct in6_addr *host)
{
	return IN6_IS_ADDR_V4MAPPED(host);
}

bool address_same(const struct in6_addr *one, const struct in6_addr *other)
{
	return memcmp(one, other, sizeof *one) == 0;
}

bool endpoint_same(const struct endpoint *one, const struct endpoint *other)
{
	return one->port == other->port && address_same(&one->host, &other->host);
}

uint32_t address_hash(const struct in6_addr *host)
{
	uint32_t hash = 2166136261U;

	for (size_t i = 0; i < sizeof host->s6_addr; i++)
		hash = (hash ^ host->s6_addr[i]) * 16777619U;
	return hash;
}

static void map_v4(const struct in_addr *from, struct in6_addr *host)
{
	memset(host, 0, sizeof *host);
	host->s6_addr[10] = host->s6_addr[11] = 0xff;
	memcpy(&host->s6_addr[12], from, sizeof *from);
}

bool address_read(const char *text, struct in6_addr *host)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		map_v4(&v4, host);
		return true;
	}
	return inet_pton(AF_INET6, text, host) == 1;
}

const char *address_write(const struct in6_addr *host, char text[ADDRESS_TEXT])
{
	if (address_is_v4(host))
		return inet_ntop(AF_INET, &host->s6_addr[12], text, ADDRESS_TEXT);
	return inet_ntop(AF_INET6, host, text, ADDRESS_TEXT);
}

bool endpoint_of(const union socket_address *from, struct endpoint *endpoint)
{
	if (from->any.sa_family == AF_INET) {
		map_v4(&from->v4.sin_addr, &endpoint->host);
		endpoint->port = ntohs(from->v4.sin_port);
		return true;
	}
	if (from->any.sa_family != AF_INET6)
		return false;
	endpoint->host = from->v6.sin6_addr;
	endpoint->port = ntohs(from->v6.sin6_port);
	return true;
}

socklen_t endpoint_to(const struct endpoint *endpoint, union socket_address *to)
{
	if (!address_is_v4(&endpoint->host))
		return endpoint_to_v6(endpoint, to);
	memset(&to->v4, 0, sizeof to->v4);
	to->v4.sin_family = AF_INET;
	to->v4.sin_port = htons(endpoint->port);
	memcpy(&to->v4.sin_addr, &endpoint->host.s6_addr[12], sizeof to->v4.sin_addr);
	return sizeof to->v4;
}

socklen_t endpoint_to_v6(const struct endpoint *endpoint, union socket_address *to)
{
	memset(&to->v6, 0, sizeof to->v6);
	to->v6.sin6_family = AF_INET6;
	to->v6.sin6_port = htons(endpoint->port);
	to->v6.sin6_addr = endpoint->host;
	return sizeof to->v6;
}
