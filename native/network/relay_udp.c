#include "relay_udp.h"

#include "relay_dns.h"
#include "relay_events.h"
#include "relay_keeper.h"
#include "relay_publish.h"
#include "relay_verdict.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	DATAGRAM = 64 << 10,
	DATAGRAMS_A_ROUND = 32,
	BUCKETS = 1024,
	BUFFER = 128 << 10,
	LISTENER_BUFFER = 1 << 20,
	HELD = 1500, /* the longest first datagram that waits for the keeper */
};

/* Where a datagram came from and went to. */
struct datagram {
	struct endpoint from, to;
	size_t length; /* of `bytes` */
};

struct udp {
	struct flow flow;
	struct udp *next; /* in its bucket */
	struct endpoint peer; /* the one who began: a guest, or a client outside */
	struct endpoint met;  /* the address that a client outside sent to: it is answered from there */
	struct watch guest;   /* in the guests' network; -1 until the keeper answers */
	struct watch other;   /* outside; -1 for a published port, which has one socket for all */
	bool asked;           /* the keeper, for the socket towards the guest */
	size_t held_length;
	char *held; /* the first datagram of a client outside, until there is a way to the guest */
};

static char bytes[DATAGRAM];
static struct udp *buckets[BUCKETS];

static struct udp **bucket_of(const struct endpoint *peer, const struct endpoint *target)
{
	uint32_t hash = address_hash(&peer->host) * 31 + address_hash(&target->host) + peer->port * 40503U + target->port;

	return &buckets[(hash ^ hash >> 16) % BUCKETS];
}

static struct udp *find(const struct endpoint *peer, const struct endpoint *target, const struct publication *publication)
{
	struct udp *udp = *bucket_of(peer, target);

	while (udp && !(udp->flow.publication == publication && endpoint_same(&udp->peer, peer) &&
			endpoint_same(&udp->flow.target, target)))
		udp = udp->next;
	return udp;
}

static void end(struct flow *flow)
{
	struct udp *udp = (struct udp *)(void *)flow;
	struct udp **one = bucket_of(&udp->peer, &flow->target);

	while (*one != udp)
		one = &(*one)->next;
	*one = udp->next;
	keeper_forget(udp);
	loop_close(&udp->guest);
	loop_close(&udp->other);
	free(udp->held);
	udp->held = NULL;
	flow_leave(flow);
}

static void send_out(struct udp *udp, size_t length)
{
	struct machine *machine = udp->flow.machine;
	ssize_t sent = -1;

	if (udp->flow.publication)
		sent = publication_answer(udp->flow.publication, &udp->peer, &udp->met, bytes, length);
	else if (udp->other.fd >= 0)
		sent = send(udp->other.fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent > 0)
		machine->sent += (uint64_t)sent;
}

/* Datagrams of one socket of a flow, a number of them; `pass` brings each to the other side. */
static void move(struct udp *udp, struct watch *from, void (*pass)(struct udp *udp, size_t length))
{
	for (int i = 0; i < DATAGRAMS_A_ROUND; i++) {
		ssize_t length = recv(from->fd, bytes, sizeof bytes, MSG_DONTWAIT);
		/* An error is what ICMP said of an earlier datagram. To have asked clears it. */
		if (length < 0)
			return;
		pass(udp, (size_t)length);
		flow_touch(&udp->flow, WAIT_DATAGRAM);
	}
}

static void send_in(struct udp *udp, size_t length)
{
	ssize_t sent = send(udp->guest.fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent > 0)
		udp->flow.machine->received += (uint64_t)sent;
}

static void guest_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	move(LIST_OWNER(watch, struct udp, guest), watch, send_out);
}

static void other_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	move(LIST_OWNER(watch, struct udp, other), watch, send_in);
}

static void bound(int socket)
{
	int buffer = BUFFER;

	(void)setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
	(void)setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
}

/* The keeper has made the socket towards the guest. */
static void came(void *context, struct packet *answer)
{
	struct udp *udp = context;

	if (!answer || answer->descriptor_count != 1) {
		flow_end(&udp->flow);
		return;
	}
	udp->guest.fd = packet_take(answer, 0);
	bound(udp->guest.fd);
	if (!loop_watch(&udp->guest, EPOLLIN) || (udp->other.fd >= 0 && !loop_watch(&udp->other, EPOLLIN))) {
		flow_end(&udp->flow);
		return;
	}
	if (!udp->held)
		return;
	memcpy(bytes, udp->held, udp->held_length);
	send_in(udp, udp->held_length);
	free(udp->held);
	udp->held = NULL;
}

/* A socket in the guests' network that is `from` for the guest at `guest`. */
static bool ask_keeper(struct udp *udp, const struct endpoint *from, const struct endpoint *guest)
{
	char from_text[ADDRESS_TEXT], guest_text[ADDRESS_TEXT];

	udp->asked = true;
	return keeper_ask(came, udp, "udp %s %u %s %u", address_write(&from->host, from_text), from->port,
			  address_write(&guest->host, guest_text), guest->port);
}

static struct udp *begin(struct machine *machine, const struct endpoint *peer, const struct endpoint *target,
			 struct publication *publication)
{
	bool inward = publication != NULL;
	struct udp *udp = flow_may_begin(machine, FLOW_UDP, inward) ? calloc(1, sizeof *udp) : NULL;
	struct udp **bucket = bucket_of(peer, target);

	if (!udp) {
		machine->refused++;
		return NULL;
	}
	udp->flow.end = end;
	udp->flow.target = *target;
	udp->flow.publication = publication;
	udp->peer = *peer;
	udp->guest = (struct watch){.fd = -1, .ready = guest_ready};
	udp->other = (struct watch){.fd = -1, .ready = other_ready};
	udp->next = *bucket;
	*bucket = udp;
	flow_begin(&udp->flow, machine, FLOW_UDP, inward);
	flow_wait(&udp->flow, WAIT_DATAGRAM);
	return udp;
}

static bool connect_outside(struct udp *udp, const struct endpoint *target)
{
	union socket_address to;
	socklen_t length = endpoint_to(target, &to);

	udp->other.fd = socket(to.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (udp->other.fd < 0)
		return false;
	bound(udp->other.fd);
	return connect(udp->other.fd, &to.any, length) == 0;
}

static struct udp *begin_from_guest(struct machine *machine, const struct datagram *datagram)
{
	struct endpoint dialed;

	if (!verdict_allows(machine, FLOW_UDP, &datagram->to, &dialed))
		return NULL;
	struct udp *udp = begin(machine, &datagram->from, &datagram->to, NULL);
	if (!udp)
		return NULL;
	if (connect_outside(udp, &dialed) && ask_keeper(udp, &datagram->to, &datagram->from))
		return udp;
	flow_end(&udp->flow);
	return NULL;
}

static void from_guest(const struct datagram *datagram)
{
	struct machine *machine = machine_of_host(&datagram->from.host);

	if (!machine)
		return;
	if (datagram->to.port == DNS_PORT) {
		dns_take_datagram(machine, &datagram->from, &datagram->to, bytes, datagram->length);
		return;
	}
	struct udp *udp = find(&datagram->from, &datagram->to, NULL);
	if (!udp)
		udp = begin_from_guest(machine, datagram);
	if (!udp)
		return;
	send_out(udp, datagram->length);
	flow_touch(&udp->flow, WAIT_DATAGRAM);
}

/* The address that the datagram went to, whatever its socket is bound to. */
static bool read_destination(struct msghdr *message, struct endpoint *to)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = packet_next_part(message, part)) {
		union socket_address address = {0};
		struct in_pktinfo v4;
		struct in6_pktinfo v6;
		if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_ORIGDSTADDR) {
			memcpy(&address.v4, CMSG_DATA(part), sizeof address.v4);
			return endpoint_of(&address, to);
		}
		if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_ORIGDSTADDR) {
			memcpy(&address.v6, CMSG_DATA(part), sizeof address.v6);
			return endpoint_of(&address, to);
		}
		if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
			memcpy(&v4, CMSG_DATA(part), sizeof v4);
			address.v4.sin_family = AF_INET;
			address.v4.sin_addr = v4.ipi_addr;
			return endpoint_of(&address, to);
		}
		if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
			memcpy(&v6, CMSG_DATA(part), sizeof v6);
			address.v6.sin6_family = AF_INET6;
			address.v6.sin6_addr = v6.ipi6_addr;
			return endpoint_of(&address, to);
		}
	}
	return false;
}

enum received_datagram { DATAGRAM_READ, DATAGRAM_BAD, DATAGRAM_NONE };

static enum received_datagram receive(int socket, struct datagram *datagram)
{
	union {
		char bytes[256];
		struct cmsghdr aligned;
	} control;
	union socket_address from;
	struct iovec part = {.iov_base = bytes, .iov_len = sizeof bytes};
	struct msghdr message = {
		.msg_name = &from,
		.msg_namelen = sizeof from,
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof control.bytes,
	};
	ssize_t length = recvmsg(socket, &message, MSG_DONTWAIT);

	if (length < 0)
		return DATAGRAM_NONE;
	datagram->length = (size_t)length;
	return endpoint_of(&from, &datagram->from) && read_destination(&message, &datagram->to) ? DATAGRAM_READ : DATAGRAM_BAD;
}

void udp_arrived(struct watch *listener, uint32_t events)
{
	struct datagram datagram;

	(void)events;
	for (int i = 0; i < DATAGRAMS_A_ROUND; i++) {
		enum received_datagram received = receive(listener->fd, &datagram);
		if (received == DATAGRAM_NONE)
			return;
		if (received == DATAGRAM_READ)
			from_guest(&datagram);
	}
}

static void set(int socket, int level, int option)
{
	int on = 1;

	(void)setsockopt(socket, level, option, &on, sizeof on);
}

void udp_prepare_listener(int listener)
{
	int buffer = LISTENER_BUFFER;

	/* All guests share it. The kernel may give less. */
	(void)setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
	set(listener, IPPROTO_IP, IP_RECVORIGDSTADDR);
	set(listener, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR);
}

void udp_prepare_published(int published)
{
	set(published, IPPROTO_IP, IP_PKTINFO);
	set(published, IPPROTO_IPV6, IPV6_RECVPKTINFO);
}

static void hold(struct udp *udp, size_t length)
{
	if (udp->held || length > HELD || length == 0)
		return;
	udp->held = malloc(length);
	if (!udp->held)
		return;
	memcpy(udp->held, bytes, length);
	udp->held_length = length;
}

/* Makes the way to the guest, unless it sleeps. */
static void approach(struct udp *udp)
{
	struct endpoint gateway;

	if (udp->flow.machine->asleep) {
		events_knock(udp->flow.machine);
		return;
	}
	gateway = publication_source(&udp->flow.target);
	if (!udp->asked && !ask_keeper(udp, &gateway, &udp->flow.target))
		flow_end(&udp->flow);
}

static void from_client(const struct datagram *datagram, struct publication *publication)
{
	struct machine *machine = publication->machine;
	struct endpoint target;

	if (!publication_target(publication, &target))
		return;
	struct udp *udp = find(&datagram->from, &target, publication);
	if (udp) {
		flow_touch(&udp->flow, WAIT_DATAGRAM);
	} else {
		udp = begin(machine, &datagram->from, &target, publication);
		if (!udp)
			return;
		udp->met = datagram->to;
	}
	if (udp->guest.fd >= 0) {
		send_in(udp, datagram->length);
		return;
	}
	hold(udp, datagram->length);
	approach(udp);
}

void udp_from_outside(int published, struct publication *publication)
{
	struct datagram datagram;

	for (int i = 0; i < DATAGRAMS_A_ROUND; i++) {
		enum received_datagram received = receive(published, &datagram);
		if (received == DATAGRAM_NONE)
			return;
		if (received == DATAGRAM_READ)
			from_client(&datagram, publication);
	}
}

void udp_wake(struct machine *machine)
{
	struct link *link = list_first(&machine->udp);

	while (link) {
		struct udp *udp = (struct udp *)(void *)LIST_OWNER(link, struct flow, of_machine);
		link = list_after(&machine->udp, link);
		if (udp->flow.inward)
			approach(udp);
	}
}
