#include "keeper_echo.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RAW_LEVEL = 255, RAW_FILTER = 1, V4_ECHO_REQUEST = 8, BUFFER = 64 << 10 };

static int descriptors[ECHOES];
static size_t count;

static bool set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

static bool prepare_v4(int fd)
{
	/* What is set is not received. */
	return set(fd, RAW_LEVEL, RAW_FILTER, (int)~(1U << V4_ECHO_REQUEST)) && set(fd, SOL_IP, IP_TRANSPARENT, 1);
}

static bool prepare_v6(int fd)
{
	struct icmp6_filter filter;

	ICMP6_FILTER_SETBLOCKALL(&filter);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REQUEST, &filter);
	return setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) == 0 &&
	       set(fd, SOL_IPV6, IPV6_TRANSPARENT, 1) && set(fd, SOL_IPV6, IPV6_RECVPKTINFO, 1);
}

static void open_one(int family)
{
	bool v4 = family == AF_INET;
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);

	if (fd < 0)
		return;
	/* While there is no relay, requests wait here. */
	if ((v4 ? prepare_v4(fd) : prepare_v6(fd)) && set(fd, SOL_SOCKET, SO_MARK, ECHO_MARK) &&
	    set(fd, SOL_SOCKET, SO_RCVBUF, BUFFER))
		descriptors[count++] = fd;
	else
		close(fd);
}

void echoes_open(void)
{
	open_one(AF_INET);
	open_one(AF_INET6);
}

size_t echoes_descriptors(int *out)
{
	for (size_t i = 0; i < count; i++)
		out[i] = descriptors[i];
	return count;
}
