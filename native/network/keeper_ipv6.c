#include "keeper_ipv6.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

bool ipv6_is_here(void)
{
	static enum { UNKNOWN, HERE, MISSING } known;

	if (known == UNKNOWN) {
		int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		known = fd < 0 && errno == EAFNOSUPPORT ? MISSING : HERE;
		if (fd >= 0)
			close(fd);
	}
	return known == HERE;
}

bool family_is_missing(int family)
{
	return family == AF_INET6 && !ipv6_is_here();
}
