#include "relay_listeners.h"

#include "relay_keeper.h"
#include "relay_tcp.h"
#include "relay_udp.h"

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTENERS = 4 }; /* tcp4 tcp6 udp4 udp6 */

static struct watch listeners[LISTENERS] = {
	{.fd = -1, .ready = tcp_accept},
	{.fd = -1, .ready = tcp_accept},
	{.fd = -1, .ready = udp_arrived},
	{.fd = -1, .ready = udp_arrived},
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
	if (!answer || answer->descriptor_count != LISTENERS)
		return;
	for (size_t i = 0; i < LISTENERS; i++) {
		int descriptor = packet_take(answer, i);
		if (descriptor >= 0)
			take(&listeners[i], descriptor);
	}
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
