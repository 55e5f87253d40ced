#include "keeper_sockets.h"

#include "keeper_ipv6.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

enum { PORT_FIRST = 1, PORT_LAST = 1000 };

static int listeners[LISTENERS] = {-1, -1, -1, -1};

static bool set(int fd, int level, int option)
{
	int on = 1;

	return setsockopt(fd, level, option, &on, sizeof on) == 0;
}

static int close_failed(int fd)
{
	int why = errno;

	close(fd);
	errno = why;
	return -1;
}

static int open_transparent(int family, int kind)
{
	int fd = socket(family, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	bool transparent = family == AF_INET
		? set(fd, SOL_IP, IP_TRANSPARENT)
		: set(fd, SOL_IPV6, IPV6_TRANSPARENT) && set(fd, SOL_IPV6, IPV6_V6ONLY);
	return transparent ? fd : close_failed(fd);
}

static bool bind_to(int fd, const struct address *address, unsigned port)
{
	struct sockaddr_storage name;
	socklen_t length = address_socket(address, port, &name);

	return bind(fd, (struct sockaddr *)&name, length) == 0;
}

/* The relay still has the listeners of a keeper that died: those of its successor take the next ports. */
static bool bind_to_free_port(int fd, int family, unsigned *port)
{
	struct address loopback = {.family = family};

	if (family == AF_INET)
		memcpy(loopback.bytes, (const unsigned char[]){127, 0, 0, 1}, 4);
	else
		loopback.bytes[15] = 1;
	for (*port = PORT_FIRST; *port <= PORT_LAST; ++*port) {
		if (bind_to(fd, &loopback, *port))
			return true;
		if (errno != EADDRINUSE)
			return false;
	}
	return false;
}

static int listen_tcp(int family, unsigned *port)
{
	int fd = open_transparent(family, SOCK_STREAM);

	if (fd < 0)
		return -1;
	return bind_to_free_port(fd, family, port) && listen(fd, SOMAXCONN) == 0 ? fd : close_failed(fd);
}

static int listen_udp(int family, unsigned *port)
{
	int fd = open_transparent(family, SOCK_DGRAM);

	if (fd < 0)
		return -1;
	bool tells = family == AF_INET ? set(fd, SOL_IP, IP_RECVORIGDSTADDR) : set(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR);
	return tells && bind_to_free_port(fd, family, port) ? fd : close_failed(fd);
}

bool listeners_open(struct listener_ports *ports)
{
	bool v6 = ipv6_is_here();

	*ports = (struct listener_ports){.tcp6 = PORT_FIRST, .udp6 = PORT_FIRST};
	listeners[0] = listen_tcp(AF_INET, &ports->tcp4);
	listeners[1] = v6 ? listen_tcp(AF_INET6, &ports->tcp6) : -1;
	listeners[2] = listen_udp(AF_INET, &ports->udp4);
	listeners[3] = v6 ? listen_udp(AF_INET6, &ports->udp6) : -1;
	for (size_t i = 0; i < LISTENERS; i++)
		if (listeners[i] < 0 && (v6 || i % 2 == 0))
			return false;
	return true;
}

size_t listeners_descriptors(int *out)
{
	size_t count = 0;

	for (size_t i = 0; i < LISTENERS; i++)
		if (listeners[i] >= 0)
			out[count++] = listeners[i];
	return count;
}

int socket_tcp(int family)
{
	return open_transparent(family, SOCK_STREAM);
}

int socket_udp(const struct address *from, unsigned from_port, const struct address *to, unsigned to_port)
{
	struct sockaddr_storage peer;
	socklen_t length = address_socket(to, to_port, &peer);
	int fd = open_transparent(from->family, SOCK_DGRAM);

	if (fd < 0)
		return -1;
	/* Sockets to many guests have the same address and port of the outside. A port that the kernel chooses is only one's. */
	if ((from_port && !set(fd, SOL_SOCKET, SO_REUSEADDR)) || !bind_to(fd, from, from_port) ||
	    connect(fd, (struct sockaddr *)&peer, length) != 0)
		return close_failed(fd);
	return fd;
}
