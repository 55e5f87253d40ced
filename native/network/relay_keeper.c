#include "relay_keeper.h"

#include "relay_loop.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { REQUESTS = 1024, REQUEST_LENGTH = 128, ANSWERS_A_ROUND = 64 };

struct request {
	keeper_answer *then; /* NULL: nobody waits */
	void *context;
	char text[REQUEST_LENGTH];
};

/* A ring: from `first` on, `sent` of `count` requests have been sent and wait for their answers, in this order. */
static struct request requests[REQUESTS];
static size_t first, sent, count;
static struct watch connection = {.fd = -1};
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static void (*connected)(void);

static struct request *request_at(size_t place)
{
	return &requests[(first + place) % REQUESTS];
}

static void send_more(void)
{
	while (connection.fd >= 0 && sent < count) {
		const struct request *request = request_at(sent);
		if (!packet_send(connection.fd, request->text, strlen(request->text)))
			break;
		sent++;
	}
	if (connection.fd >= 0)
		loop_alter(&connection, sent < count ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void lose(void)
{
	loop_close(&connection);
	sent = 0;
}

static void answered(struct packet *packet)
{
	struct request request = *request_at(0);
	bool granted = strncmp(packet->text, "ok", 2) == 0;

	first = (first + 1) % REQUESTS;
	sent--;
	count--;
	if (request.then)
		request.then(request.context, granted ? packet : NULL);
	packet_release(packet);
}

static void ready(struct watch *watch, uint32_t events)
{
	(void)events;
	for (int i = 0; i < ANSWERS_A_ROUND && watch->fd >= 0; i++) {
		struct packet packet;
		enum received received = packet_receive(watch->fd, &packet);
		if (received == RECEIVED_NOTHING_YET)
			break;
		/* An answer to nothing: we and this keeper do not understand each other. */
		if (received == RECEIVED_END || sent == 0) {
			packet_release(&packet);
			lose();
			return;
		}
		answered(&packet);
	}
	send_more();
}

static void try_to_connect(void)
{
	connection.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connection.fd < 0)
		return;
	if (connect(connection.fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
	    packet_peer_is_us(connection.fd) && loop_watch(&connection, EPOLLIN)) {
		connected();
		send_more();
		return;
	}
	close(connection.fd);
	connection.fd = -1;
}

bool keeper_open(const char *path, void (*again)(void))
{
	if (strlen(path) >= sizeof address.sun_path)
		return false;
	(void)strcpy(address.sun_path, path);
	connection.ready = ready;
	connected = again;
	try_to_connect();
	return true;
}

bool keeper_tick(void)
{
	if (connection.fd < 0)
		try_to_connect();
	return connection.fd < 0;
}

bool keeper_ask(keeper_answer *then, void *context, const char *format, ...)
{
	struct request *request = request_at(count);
	va_list given;

	if (count == REQUESTS)
		return false;
	va_start(given, format);
	int length = vsnprintf(request->text, sizeof request->text, format, given);
	va_end(given);
	if (length < 0 || length >= (int)sizeof request->text)
		return false;
	request->then = then;
	request->context = context;
	count++;
	send_more();
	return true;
}

void keeper_forget(const void *context)
{
	for (size_t i = 0; i < count; i++)
		if (request_at(i)->context == context)
			request_at(i)->then = NULL;
}
