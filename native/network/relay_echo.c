#include "relay_echo.h"

#include "relay_address.h"
#include "relay_host.h"
#include "relay_listeners.h"
#include "relay_machine.h"
#include "relay_packet.h"
#include "relay_verdict.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PLACES = 4096, /* requests under way, of all machines; the filter lets each send 64 a second */
	LIFE_MS = 10000,
	ROUND = 32,
	MESSAGE = 64 << 10,
	V4_HEADER = 20,
	V6_HEADER = 40,
	QUOTED = 8, /* bytes of a message that a refusal repeats */
	RAW_LEVEL = 255,
	RAW_FILTER = 1,
	ICMP6_FILTER_OPTION = 1,
};
enum { V4_REPLY = 0, V4_UNREACHABLE = 3, V4_REQUEST = 8, V6_UNREACHABLE = 1, V6_REQUEST = 128, V6_REPLY = 129 };

/* Why a request was not sent, as its family's messages number it. */
enum refusal { PROHIBITED, NO_WAY };
static const uint8_t CODES[2][2] = {[PROHIBITED] = {13, 1}, [NO_WAY] = {1, 0}};

/* What all messages begin with. */
struct head {
	uint8_t type, code;
	uint16_t sum, identifier, sequence;
};

/* A guest's request, with its own header. */
struct request {
	struct endpoint guest, target;
	uint8_t *bytes; /* of the header */
	size_t header, length; /* `length`: of the message behind the header */
};

struct pending {
	struct in6_addr guest, target;
	int64_t sent; /* 0: none */
	uint16_t number; /* by which the outside knows it */
	uint16_t identifier, sequence; /* by which the guest knows it, as in the message */
};

/* Of one family. */
struct outside {
	struct watch watch;
	bool raw;
	uint16_t identifier; /* of all our requests, if the socket is a raw one */
};

static void answered(struct watch *watch, uint32_t events);

static struct outside outsides[2] = {{.watch = {.fd = -1, .ready = answered}}, {.watch = {.fd = -1, .ready = answered}}};
static struct pending places[PLACES];
static uint16_t last;
/* Room for a header in front of each message: the kernel gives none with IPv6. */
static uint8_t buffer[V6_HEADER + MESSAGE];

static struct outside *outside_of(bool v4)
{
	return &outsides[v4 ? 0 : 1];
}

static uint16_t sum_of(const void *bytes, size_t length)
{
	const uint8_t *at = bytes;
	uint32_t sum = 0;

	for (; length > 1; length -= 2, at += 2)
		sum += (uint32_t)at[0] << 8 | at[1];
	if (length)
		sum += (uint32_t)at[0] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* With IPv6, the kernel sums, since addresses count. */
static void seal(void *message, size_t length, bool v4)
{
	struct head head;

	memcpy(&head, message, sizeof head);
	head.sum = 0;
	memcpy(message, &head, sizeof head);
	if (!v4)
		return;
	head.sum = sum_of(message, length);
	memcpy(message, &head, sizeof head);
}

bool echo_lend(int socket)
{
	int family = 0, kind = 0;
	socklen_t size = sizeof family;

	if (getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0 ||
	    getsockopt(socket, SOL_SOCKET, SO_TYPE, &kind, &size) != 0 || kind != SOCK_RAW)
		return false;
	uint32_t only_replies[8];
	bool v4 = family == AF_INET;
	memset(only_replies, 0xff, sizeof only_replies);
	only_replies[v4 ? 0 : V6_REPLY / 32] &= ~(1U << (v4 ? V4_REPLY : V6_REPLY % 32));
	bool filtered = v4 ? setsockopt(socket, RAW_LEVEL, RAW_FILTER, only_replies, sizeof *only_replies) == 0
			   : setsockopt(socket, IPPROTO_ICMPV6, ICMP6_FILTER_OPTION, only_replies, sizeof only_replies) == 0;
	struct outside *outside = outside_of(v4);
	outside->watch.fd = socket;
	outside->raw = true;
	outside->identifier = htons((uint16_t)getpid());
	return filtered;
}

/* A host may allow it at any time. */
static bool have_outside(struct outside *outside, bool v4)
{
	if (outside->watch.fd >= 0)
		return true;
	outside->watch.fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
				   v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	if (outside->watch.fd >= 0 && !loop_watch(&outside->watch, EPOLLIN))
		loop_close(&outside->watch);
	return outside->watch.fd >= 0;
}

void echo_begin(void)
{
	for (size_t i = 0; i < 2; i++)
		if (outsides[i].watch.fd >= 0 && !loop_watch(&outsides[i].watch, EPOLLIN))
			loop_close(&outsides[i].watch);
}

/* Sends a message to the guest, as if it came from this address. */
static void send_in(const struct in6_addr *from, const struct in6_addr *guest, void *message, size_t length)
{
	bool v4 = address_is_v4(guest);
	union {
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct cmsghdr head;
	} control = {0};
	union socket_address to, source;
	const struct endpoint guest_end = {.host = *guest}, from_end = {.host = *from};
	struct iovec part = {.iov_base = message, .iov_len = length};
	struct msghdr packet = {.msg_name = &to, .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes};

	packet.msg_namelen = endpoint_to(&guest_end, &to);
	(void)endpoint_to(&from_end, &source);
	if (v4) {
		struct in_pktinfo info = {.ipi_spec_dst = source.v4.sin_addr};
		control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
		memcpy(CMSG_DATA(&control.head), &info, sizeof info);
		packet.msg_controllen = CMSG_SPACE(sizeof info);
	} else {
		struct in6_pktinfo info = {.ipi6_addr = source.v6.sin6_addr};
		control.head =
			(struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
		memcpy(CMSG_DATA(&control.head), &info, sizeof info);
		packet.msg_controllen = CMSG_SPACE(sizeof info);
	}
	seal(message, length, v4);
	(void)sendmsg(listeners_echo(v4), &packet, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The gateway says why: a guest that waits for nothing is told at once. */
static void refuse(const struct request *request, enum refusal refusal)
{
	bool v4 = address_is_v4(&request->guest.host);
	uint8_t message[sizeof(struct head) + 60 + QUOTED];
	struct head head = {.type = v4 ? V4_UNREACHABLE : V6_UNREACHABLE, .code = CODES[refusal][v4 ? 0 : 1]};
	size_t quoted = request->header + (request->length < QUOTED ? request->length : QUOTED);

	memcpy(message, &head, sizeof head);
	memcpy(message + sizeof head, request->bytes, quoted);
	send_in(host_gateway(v4), &request->guest.host, message, sizeof head + quoted);
}

static void remember(const struct request *request, const struct head *head)
{
	last++;
	places[last % PLACES] = (struct pending){
		.guest = request->guest.host,
		.target = request->target.host,
		.sent = loop_now() + 1,
		.number = last,
		.identifier = head->identifier,
		.sequence = head->sequence,
	};
}

static void ask(struct machine *machine, const struct request *request)
{
	bool v4 = address_is_v4(&request->target.host);
	struct outside *outside = outside_of(v4);
	uint8_t *message = request->bytes + request->header;
	struct endpoint dialed;
	union socket_address to;
	struct head original, head;

	if (!verdict_allows(machine, FLOW_ECHO, &request->target, &dialed)) {
		refuse(request, PROHIBITED);
		return;
	}
	if (!endpoint_same(&dialed, &request->target) || !have_outside(outside, v4))
		return;
	memcpy(&original, message, sizeof original);
	remember(request, &original);
	head = original;
	head.identifier = outside->identifier;
	head.sequence = htons(last);
	memcpy(message, &head, sizeof head);
	seal(message, request->length, v4);
	socklen_t length = endpoint_to(&dialed, &to);
	ssize_t sent = sendto(outside->watch.fd, message, request->length, MSG_DONTWAIT | MSG_NOSIGNAL, &to.any, length);
	if (sent > 0)
		machine->sent += (uint64_t)sent;
	memcpy(message, &original, sizeof original);
	if (sent < 0 && (errno == ENETUNREACH || errno == EHOSTUNREACH))
		refuse(request, NO_WAY);
}

/* With IPv6 the header is written anew, for refusals. */
static void write_v6_header(struct request *request)
{
	uint8_t *header = request->bytes;

	memset(header, 0, V6_HEADER);
	header[0] = 6 << 4;
	header[4] = (uint8_t)(request->length >> 8);
	header[5] = (uint8_t)request->length;
	header[6] = IPPROTO_ICMPV6;
	header[7] = 64;
	memcpy(header + 8, &request->guest.host, sizeof request->guest.host);
	memcpy(header + 24, &request->target.host, sizeof request->target.host);
}

static bool read_v4(struct request *request, size_t received)
{
	union socket_address target = {.v4 = {.sin_family = AF_INET}};

	request->bytes = buffer + V6_HEADER;
	if (received < V4_HEADER)
		return false;
	request->header = (size_t)(request->bytes[0] & 15) * 4;
	if (request->header < V4_HEADER || received < request->header + sizeof(struct head))
		return false;
	request->length = received - request->header;
	memcpy(&target.v4.sin_addr, request->bytes + 16, sizeof target.v4.sin_addr);
	return endpoint_of(&target, &request->target);
}

static bool read_v6(struct request *request, size_t received, struct msghdr *packet)
{
	union socket_address target = {.v6 = {.sin6_family = AF_INET6}};
	struct in6_pktinfo info;

	request->bytes = buffer;
	request->header = V6_HEADER;
	request->length = received;
	if (received < sizeof(struct head))
		return false;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(packet); part; part = packet_next_part(packet, part)) {
		if (part->cmsg_level != IPPROTO_IPV6 || part->cmsg_type != IPV6_PKTINFO)
			continue;
		memcpy(&info, CMSG_DATA(part), sizeof info);
		target.v6.sin6_addr = info.ipi6_addr;
		if (!endpoint_of(&target, &request->target))
			return false;
		write_v6_header(request);
		return true;
	}
	return false;
}

/* Of those to the gateway there comes a copy: the kernel answers them. */
static bool is_for_us(const struct request *request)
{
	const uint8_t *message = request->bytes + request->header;
	bool v4 = address_is_v4(&request->target.host);

	return message[0] == (v4 ? V4_REQUEST : V6_REQUEST) && message[1] == 0 &&
	       !address_same(&request->target.host, host_gateway(v4));
}

/* One packet of a socket into the buffer, behind the room for a header. -1: there is none. */
static ssize_t receive(int socket, union socket_address *from, struct msghdr *packet, void *control, size_t control_size)
{
	struct iovec part = {.iov_base = buffer + V6_HEADER, .iov_len = MESSAGE};

	*packet = (struct msghdr){.msg_name = from, .msg_namelen = sizeof *from, .msg_iov = &part, .msg_iovlen = 1,
				  .msg_control = control, .msg_controllen = (socklen_t)control_size};
	ssize_t length = recvmsg(socket, packet, MSG_DONTWAIT);
	packet->msg_iov = NULL;
	return length;
}

void echo_arrived(struct watch *listener, uint32_t events)
{
	union {
		char bytes[128];
		struct cmsghdr aligned;
	} control;
	union socket_address from;
	struct msghdr packet;

	(void)events;
	for (int i = 0; i < ROUND; i++) {
		struct request request = {.length = 0};
		ssize_t length = receive(listener->fd, &from, &packet, control.bytes, sizeof control.bytes);
		if (length < 0)
			return;
		if (!endpoint_of(&from, &request.guest))
			continue;
		bool whole = from.any.sa_family == AF_INET ? read_v4(&request, (size_t)length)
							   : read_v6(&request, (size_t)length, &packet);
		request.guest.port = request.target.port = 0;
		struct machine *machine = machine_of_host(&request.guest.host);
		if (whole && machine && is_for_us(&request))
			ask(machine, &request);
	}
}

static struct pending *find(const struct in6_addr *target, uint16_t number)
{
	struct pending *pending = &places[number % PLACES];
	bool due = pending->sent != 0 && loop_now() - pending->sent < LIFE_MS;

	return due && pending->number == number && address_same(&pending->target, target) ? pending : NULL;
}

static void answer(const struct outside *outside, const struct endpoint *from, uint8_t *message, size_t length)
{
	bool v4 = address_is_v4(&from->host);
	struct head head;

	if (length < sizeof head)
		return;
	memcpy(&head, message, sizeof head);
	if (head.type != (v4 ? V4_REPLY : V6_REPLY) || (outside->raw && head.identifier != outside->identifier))
		return;
	struct pending *pending = find(&from->host, ntohs(head.sequence));
	struct machine *machine = pending ? machine_of_host(&pending->guest) : NULL;
	if (!machine)
		return;
	pending->sent = 0;
	head.identifier = pending->identifier;
	head.sequence = pending->sequence;
	memcpy(message, &head, sizeof head);
	send_in(&from->host, &pending->guest, message, length);
	machine->received += length;
}

static void answered(struct watch *watch, uint32_t events)
{
	const struct outside *outside = LIST_OWNER(watch, struct outside, watch);
	union socket_address from;
	struct msghdr packet;
	struct endpoint sender;

	(void)events;
	for (int i = 0; i < ROUND; i++) {
		ssize_t length = receive(watch->fd, &from, &packet, NULL, 0);
		if (length < 0)
			return;
		uint8_t *message = buffer + V6_HEADER;
		size_t header = outside->raw && from.any.sa_family == AF_INET && length > 0 ? (size_t)(message[0] & 15) * 4 : 0;
		if ((size_t)length >= header && endpoint_of(&from, &sender))
			answer(outside, &sender, message + header, (size_t)length - header);
	}
}
