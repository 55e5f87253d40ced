#include "dial.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>

#include "exec_io.h"
#include "fd.h"
#include "out.h"

enum { LOOPBACKS = 2, INTERFACES_MAX = 16 };

static socklen_t set_v4(struct sockaddr_storage *address, struct in_addr host, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = host };

	memcpy(address, &to, sizeof to);
	return sizeof to;
}

static socklen_t set_v6(struct sockaddr_storage *address, struct in6_addr host, uint16_t port)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = host };

	memcpy(address, &to, sizeof to);
	return sizeof to;
}

/* Loopback addresses are tried anyway, and link-local ones are no place for a service. */
static socklen_t set_own(struct sockaddr_storage *address, const struct sockaddr *own, uint16_t port)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (own && own->sa_family == AF_INET) {
		memcpy(&v4, own, sizeof v4);
		if (v4.sin_addr.s_addr != htonl(INADDR_LOOPBACK))
			return set_v4(address, v4.sin_addr, port);
	} else if (own && own->sa_family == AF_INET6) {
		memcpy(&v6, own, sizeof v6);
		if (!IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) && !IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr))
			return set_v6(address, v6.sin6_addr, port);
	}
	return 0;
}

static socklen_t interface_candidate(size_t index, uint16_t port, struct sockaddr_storage *address)
{
	struct ifaddrs *all = NULL;
	socklen_t length = 0;

	if (index >= INTERFACES_MAX || getifaddrs(&all) < 0)
		return 0;
	for (struct ifaddrs *one = all; one && !length; one = one->ifa_next)
		if (set_own(address, one->ifa_addr, port) && index-- == 0)
			length = address->ss_family == AF_INET ? sizeof(struct sockaddr_in)
							       : sizeof(struct sockaddr_in6);
	freeifaddrs(all);
	return length;
}

socklen_t dial_candidate(size_t index, uint16_t port, struct sockaddr_storage *address)
{
	struct in_addr loopback = { .s_addr = htonl(INADDR_LOOPBACK) };
	struct in6_addr loopback_6 = IN6ADDR_LOOPBACK_INIT;

	if (index == 0)
		return set_v4(address, loopback, port);
	if (index == 1)
		return set_v6(address, loopback_6, port);
	return interface_candidate(index - LOOPBACKS, port, address);
}

static void give_up(struct exec *exec, int number)
{
	struct err err;

	err_set(&err, ERR_REFUSED, number, "port %u of the guest", exec->dial.port);
	out_fail(exec->channel, &err);
	exec_forget(exec);
}

static bool connected(struct exec *exec)
{
	int fd, on = 1;

	watch_set(&exec->start, 0);
	fd = fd_take(&exec->start.fd);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	/* Reading and writing are watched apart: two descriptors. */
	exec->input.watch = (struct watch){ fd, 0, input_ready, exec };
	exec->outputs[0].watch = (struct watch){ fcntl(fd, F_DUPFD_CLOEXEC, 0), 0, output_ready, exec };
	if (exec->outputs[0].watch.fd < 0 || !watch_set(&exec->outputs[0].watch, EPOLLIN))
		return false;
	timer_cancel(&exec->timeout);
	exec->state = EXEC_RUNNING;
	exec->attached = true;
	out_ok(exec->channel);
	return true;
}

/* Begins to connect to the next address that takes it. False: there is none. */
static bool try_next(struct exec *exec)
{
	struct sockaddr_storage to;
	socklen_t length;

	while ((length = dial_candidate(exec->dial.tried++, exec->dial.port, &to))) {
		AUTO_FD fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (fd < 0)
			continue;
		if (connect(fd, (struct sockaddr *)&to, length) < 0 && errno != EINPROGRESS)
			continue;
		exec->start.fd = fd_take(&fd);
		if (watch_set(&exec->start, EPOLLOUT))
			return true;
		watch_close(&exec->start);
	}
	return false;
}

static void connecting(struct watch *watch, uint32_t events)
{
	struct exec *exec = watch->owner;
	int number = 0;
	socklen_t length = sizeof number;

	(void)events;
	if (getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &number, &length) < 0)
		number = errno;
	if (!number) {
		if (!connected(exec))
			give_up(exec, errno);
		return;
	}
	watch_close(watch);
	if (!try_next(exec))
		give_up(exec, ECONNREFUSED);
}

static void too_slow(struct timer *timer)
{
	give_up(timer->owner, ETIMEDOUT);
}

int dial_begin(struct exec *exec, uint16_t port, struct err *err)
{
	exec->dial.dialed = true;
	exec->dial.port = port;
	exec->start = (struct watch){ -1, 0, connecting, exec };
	exec->timeout = (struct timer){ .fired = too_slow, .owner = exec };
	/* There is no stream of errors, and so no end of it to tell. */
	exec->outputs[1].eof_sent = true;
	if (!try_next(exec))
		return err_set(err, ERR_REFUSED, ECONNREFUSED, "port %u of the guest", port);
	timer_arm(&exec->timeout, DIAL_MS);
	return 0;
}

void dial_reset(struct exec *exec)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (exec->outputs[0].watch.fd >= 0)
		setsockopt(exec->outputs[0].watch.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	if (exec->input.watch.fd >= 0)
		setsockopt(exec->input.watch.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	/* Not by input_close, which would first send an end. */
	watch_close(&exec->input.watch);
}
