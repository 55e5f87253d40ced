#include "relay_listeners.h"

#include "relay_echo.h"
#include "relay_keeper.h"
#include "relay_tcp.h"
#include "relay_udp.h"

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TCP, UDP, ECHO, KINDS, LISTENERS = 2 * KINDS };

/* Of each kind that of IPv4, then that of IPv6. */
static struct watch listeners[LISTENERS] = {
	{.fd = -1, .ready = tcp_accept},
	{.fd = -1, .ready = tcp_accept},
	{.fd = -1, .ready = udp_arrived},
	{.fd = -1, .ready = udp_arrived},
	{.fd = -1, .ready = echo_arrived},
	{.fd = -1, .ready = echo_arrived},
};
static struct watch *paused;

static uint64_t cookie_of(int socket)
{
	uint64_t cookie = 0;
	socklen_t length = sizeof cookie;

	if (socket >= 0)
		(void)getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &length);
	return cookie;
}

static struct watch *place_of(size_t kind, bool v4)
{
	return &listeners[2 * kind + (v4 ? 0 : 1)];
}

static int option_of(int socket, int option)
{
	int value = 0;
	socklen_t length = sizeof value;

	(void)getsockopt(socket, SOL_SOCKET, option, &value, &length);
	return value;
}

/* What the socket is says what arrives there. */
static struct watch *place_for(int descriptor)
{
	bool v4 = option_of(descriptor, SO_DOMAIN) == AF_INET;

	switch (option_of(descriptor, SO_TYPE)) {
	case SOCK_STREAM: return place_of(TCP, v4);
	case SOCK_DGRAM: return place_of(UDP, v4);
	default: return place_of(ECHO, v4);
	}
}

static void take(struct watch *listener, int descriptor)
{
	if (cookie_of(descriptor) == cookie_of(listener->fd)) {
		close(descriptor);
		return;
	}
	loop_close(listener);
	listener->fd = descriptor;
	if (listener->ready == udp_arrived)
		udp_prepare_listener(descriptor);
	if (!loop_watch(listener, EPOLLIN))
		loop_close(listener);
}

static void answered(void *context, struct packet *answer)
{
	(void)context;
	for (size_t i = 0; answer && i < answer->descriptor_count; i++) {
		int descriptor = packet_take(answer, i);
		if (descriptor >= 0)
			take(place_for(descriptor), descriptor);
	}
}

int listeners_echo(bool v4)
{
	return place_of(ECHO, v4)->fd;
}

void listeners_want(void)
{
	(void)keeper_ask(answered, NULL, "listeners");
}

void listeners_pause(struct watch *listener)
{
	loop_alter(listener, 0);
	paused = listener;
}

bool listeners_tick(void)
{
	bool waited = paused != NULL;

	for (size_t i = 0; waited && i < LISTENERS; i++)
		if (listeners[i].fd >= 0)
			loop_alter(&listeners[i], EPOLLIN);
	paused = NULL;
	return waited;
}
