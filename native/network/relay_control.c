#include "relay_control.h"

#include "relay_loop.h"
#include "relay_packet.h"
#include "relay_queue.h"
#include "relay_requests.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_MOST = 32 };

struct client {
	struct mortal mortal;
	struct link link;
	struct watch connection;
	bool events;
};

static struct watch listening;
static struct list clients;
static size_t count;

static void drop(struct client *client)
{
	loop_close(&client->connection);
	list_remove(&client->link);
	count--;
	loop_free(&client->mortal);
}

/* One request a turn: no client keeps others waiting. */
static void ready(struct watch *watch, uint32_t events)
{
	struct client *client = LIST_OWNER(watch, struct client, connection);
	struct packet packet;
	enum received received = packet_receive(watch->fd, &packet);
	size_t length;

	(void)events;
	if (received == RECEIVED_NOTHING_YET)
		return;
	if (received == RECEIVED_END) {
		drop(client);
		return;
	}
	const char *answer = request_carry_out(&packet, &client->events, &length);
	packet_release(&packet);
	/* Who asks and does not read the answers is not waited for. */
	if (!packet_send(watch->fd, answer, length))
		drop(client);
}

static void greet(int connection)
{
	struct client *client = count < CLIENTS_MOST && packet_peer_is_us(connection) ? calloc(1, sizeof *client) : NULL;

	if (!client) {
		close(connection);
		return;
	}
	client->connection = (struct watch){.fd = connection, .ready = ready};
	list_append(&clients, &client->link);
	count++;
	if (!loop_watch(&client->connection, EPOLLIN))
		drop(client);
}

static void arrived(struct watch *watch, uint32_t events)
{
	int connection = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (connection >= 0)
		greet(connection);
}

bool control_open(int listener)
{
	list_open(&clients);
	listening = (struct watch){.fd = listener, .ready = arrived};
	return fcntl(listener, F_SETFL, O_NONBLOCK) == 0 && fcntl(listener, F_SETFD, FD_CLOEXEC) == 0 &&
	       loop_watch(&listening, EPOLLIN);
}

void control_tell(const char *event, size_t length)
{
	for (struct link *link = list_first(&clients); link; link = list_after(&clients, link)) {
		struct client *client = LIST_OWNER(link, struct client, link);
		if (client->events)
			(void)packet_send(client->connection.fd, event, length);
	}
}

bool control_hand(const char *event, size_t length, int descriptor)
{
	for (struct link *link = list_first(&clients); link; link = list_after(&clients, link)) {
		struct client *client = LIST_OWNER(link, struct client, link);
		if (client->events && packet_send_with(client->connection.fd, event, length, descriptor))
			return true;
	}
	return false;
}
