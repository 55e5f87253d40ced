#include "relay_publish.h"

#include "relay_address.h"
#include "relay_events.h"
#include "relay_stock.h"
#include "relay_tcp.h"
#include "relay_udp.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { ACCEPTS_A_ROUND = 64 };

static struct list all;
static size_t count, most;
static bool paused;
static struct in6_addr gateways[2]; /* IPv4, IPv6 */
static struct list starving;        /* TCP flows that wait for a socket of the guests' network */

struct publication *publication_after(const struct publication *publication)
{
	struct link *link = publication ? list_after(&all, &publication->link) : list_first(&all);

	return link ? LIST_OWNER(link, struct publication, link) : NULL;
}

static struct publication *find(const char *id)
{
	for (struct publication *one = NULL; (one = publication_after(one));)
		if (strcmp(one->id, id) == 0)
			return one;
	return NULL;
}

bool publication_target(const struct publication *publication, struct endpoint *target)
{
	const struct machine *machine = publication->machine;

	if (machine->host_count == 0)
		return false;
	*target = (struct endpoint){.host = machine->hosts[0].host, .port = publication->port};
	return true;
}

struct endpoint publication_source(const struct endpoint *target)
{
	return (struct endpoint){.host = gateways[address_is_v4(&target->host) ? 0 : 1], .port = 0};
}

/* Dials if there is a socket; waits for one otherwise. */
static void dial(struct tcp *tcp)
{
	int socket = stock_take(address_is_v4(&tcp->flow.target.host));

	flow_wait(&tcp->flow, WAIT_DIAL);
	if (socket >= 0)
		tcp_dial_guest(tcp, socket);
	else
		list_append(&starving, &tcp->starving);
}

static void sockets_came(void)
{
	struct link *last = starving.ends.previous, *link = list_first(&starving);
	bool more = link != NULL;

	/* Each that waits now gets one turn; who finds no socket goes to the end. */
	while (more) {
		struct tcp *tcp = LIST_OWNER(link, struct tcp, starving);
		more = link != last;
		link = list_after(&starving, link);
		list_remove(&tcp->starving);
		dial(tcp);
	}
}

void publications_open(const struct in6_addr *gateway_v4, const struct in6_addr *gateway_v6, size_t given)
{
	most = given;
	list_open(&all);
	list_open(&starving);
	gateways[0] = *gateway_v4;
	gateways[1] = *gateway_v6;
	stock_open(sockets_came);
}

static void from_client(struct publication *publication, int client)
{
	struct machine *machine = publication->machine;
	struct endpoint target;

	if (!publication_target(publication, &target)) {
		tcp_refuse(client);
		return;
	}
	struct tcp *tcp = tcp_from_outside(client, machine, &target);
	if (!tcp)
		return;
	if (machine->asleep)
		events_knock(machine);
	else
		dial(tcp);
}

/* What waits at the port is there until the next tick: no descriptor would make the loop ask again and again. */
static void pause_for(struct publication *publication)
{
	loop_alter(&publication->socket, 0);
	paused = true;
}

bool publications_tick(void)
{
	bool waited = paused;

	paused = false;
	for (struct publication *one = NULL; waited && (one = publication_after(one));)
		loop_alter(&one->socket, EPOLLIN);
	return waited;
}

static void accept_clients(struct publication *publication)
{
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		int client = accept4(publication->socket.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				pause_for(publication);
			return;
		}
		from_client(publication, client);
	}
}

static void ready(struct watch *watch, uint32_t events)
{
	struct publication *publication = LIST_OWNER(watch, struct publication, socket);

	(void)events;
	if (publication->kind == FLOW_TCP)
		accept_clients(publication);
	else
		udp_from_outside(watch->fd, publication);
}

static int option_of(int socket, int option)
{
	int value = -1;
	socklen_t length = sizeof value;

	return getsockopt(socket, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

static bool fits(int socket, enum flow_kind kind)
{
	int domain = option_of(socket, SO_DOMAIN);

	if (domain != AF_INET && domain != AF_INET6)
		return false;
	if (kind == FLOW_UDP)
		return option_of(socket, SO_TYPE) == SOCK_DGRAM && option_of(socket, SO_PROTOCOL) == IPPROTO_UDP;
	return option_of(socket, SO_TYPE) == SOCK_STREAM && option_of(socket, SO_ACCEPTCONN) == 1;
}

const char *publication_add(const char *id, struct machine *machine, enum flow_kind kind, uint16_t port, int socket)
{
	if (find(id))
		return "exists this ID is published already";
	if (!fits(socket, kind))
		return "socket not a listening TCP socket or a bound UDP socket";
	if (count >= most || fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK) != 0)
		return "limit too many published ports";
	struct publication *one = calloc(1, sizeof *one);
	if (!one)
		return "memory no memory";
	*one = (struct publication){.machine = machine, .kind = kind, .port = port};
	(void)strncpy(one->id, id, KEY_LENGTH);
	one->socket = (struct watch){.fd = socket, .ready = ready};
	one->v6 = option_of(socket, SO_DOMAIN) == AF_INET6;
	if (kind == FLOW_UDP)
		udp_prepare_published(socket);
	if (!loop_watch(&one->socket, EPOLLIN)) {
		free(one);
		return "memory no memory in the kernel";
	}
	list_append(&all, &one->link);
	count++;
	return NULL;
}

static const struct publication *removed;

static bool is_of_another(const struct flow *flow)
{
	return flow->publication != removed;
}

static void take_away(struct publication *one)
{
	removed = one;
	flows_end(one->machine, is_of_another);
	loop_close(&one->socket);
	list_remove(&one->link);
	count--;
	loop_free(&one->mortal);
}

bool publication_remove(const char *id)
{
	struct publication *one = find(id);

	if (one)
		take_away(one);
	return one != NULL;
}

void publications_remove_of(struct machine *machine)
{
	struct publication *one = publication_after(NULL);

	while (one) {
		struct publication *next = publication_after(one);
		if (one->machine == machine)
			take_away(one);
		one = next;
	}
}

void publications_wake(struct machine *machine)
{
	struct link *link = list_first(&machine->tcp);

	while (link) {
		struct tcp *tcp = (struct tcp *)(void *)LIST_OWNER(link, struct flow, of_machine);
		link = list_after(&machine->tcp, link);
		if (tcp->flow.inward && tcp->guest.watch.fd < 0 && !tcp->starving.next)
			dial(tcp);
	}
	udp_wake(machine);
}

static socklen_t write_source(const struct publication *publication, const struct endpoint *met, struct cmsghdr *part)
{
	if (publication->v6) {
		struct in6_pktinfo from = {.ipi6_addr = met->host};
		part->cmsg_level = IPPROTO_IPV6;
		part->cmsg_type = IPV6_PKTINFO;
		part->cmsg_len = CMSG_LEN(sizeof from);
		memcpy(CMSG_DATA(part), &from, sizeof from);
		return CMSG_SPACE(sizeof from);
	}
	struct in_pktinfo from = {0};
	memcpy(&from.ipi_spec_dst, &met->host.s6_addr[12], sizeof from.ipi_spec_dst);
	part->cmsg_level = IPPROTO_IP;
	part->cmsg_type = IP_PKTINFO;
	part->cmsg_len = CMSG_LEN(sizeof from);
	memcpy(CMSG_DATA(part), &from, sizeof from);
	return CMSG_SPACE(sizeof from);
}

ssize_t publication_answer(const struct publication *publication, const struct endpoint *client,
			   const struct endpoint *met, const char *bytes, size_t length)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct cmsghdr aligned;
	} control = {{0}};
	union socket_address to;
	socklen_t to_length = publication->v6 ? endpoint_to_v6(client, &to) : endpoint_to(client, &to);
	struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
	struct msghdr message = {
		.msg_name = &to, .msg_namelen = to_length, .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes};

	message.msg_controllen = write_source(publication, met, &control.aligned);
	return sendmsg(publication->socket.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
