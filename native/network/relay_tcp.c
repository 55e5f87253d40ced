#include "relay_tcp.h"

#include "relay_address.h"
#include "relay_dns.h"
#include "relay_dns_stream.h"
#include "relay_events.h"
#include "relay_listeners.h"
#include "relay_verdict.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	ACCEPTS_A_ROUND = 64,
	CHUNK = 64 << 10,
	CHUNKS_A_ROUND = 4,
	/* A peer outside that vanished is noticed after about 15 minutes; a guest may sleep for as long as it likes. */
	ALIVE_IDLE_S = 600,
	ALIVE_INTERVAL_S = 60,
	ALIVE_PROBES = 5,
};

static char chunk[CHUNK];

void tcp_refuse(int connection)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(connection, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(connection);
}

static void set(int socket, int level, int option, int value)
{
	(void)setsockopt(socket, level, option, &value, sizeof value);
}

static void prepare(int socket, int buffer)
{
	set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
	if (buffer > 0) {
		set(socket, SOL_SOCKET, SO_SNDBUF, buffer);
		set(socket, SOL_SOCKET, SO_RCVBUF, buffer);
	}
}

static void prepare_outside(int socket, int buffer)
{
	prepare(socket, buffer);
	set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(socket, IPPROTO_TCP, TCP_KEEPIDLE, ALIVE_IDLE_S);
	set(socket, IPPROTO_TCP, TCP_KEEPINTVL, ALIVE_INTERVAL_S);
	set(socket, IPPROTO_TCP, TCP_KEEPCNT, ALIVE_PROBES);
}

static void reset_end(struct tcp_end *end)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (end->watch.fd >= 0)
		(void)setsockopt(end->watch.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	loop_close(&end->watch);
}

static void leave(struct tcp *tcp)
{
	list_remove(&tcp->starving);
	flow_leave(&tcp->flow);
}

static void end_with_reset(struct flow *flow)
{
	struct tcp *tcp = (struct tcp *)(void *)flow;

	reset_end(&tcp->guest);
	reset_end(&tcp->other);
	leave(tcp);
}

static void end_in_peace(struct tcp *tcp)
{
	loop_close(&tcp->guest.watch);
	loop_close(&tcp->other.watch);
	leave(tcp);
}

static bool would_block(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* Takes bytes that the other side has been sent already. */
static bool take(int socket, size_t size)
{
	while (size > 0) {
		ssize_t taken = recv(socket, chunk, size, MSG_TRUNC | MSG_DONTWAIT);
		if (taken <= 0)
			return false;
		size -= (size_t)taken;
	}
	return true;
}

static void count_bytes(struct tcp_end *from, size_t size)
{
	struct machine *machine = from->tcp->flow.machine;

	if (from == &from->tcp->guest)
		machine->sent += size;
	else
		machine->received += size;
}

enum moved { MOVED_ALL, MOVED_SOME, MOVED_BROKEN };

static enum moved move_chunk(struct tcp_end *from, struct tcp_end *to)
{
	ssize_t seen = recv(from->watch.fd, chunk, sizeof chunk, MSG_PEEK | MSG_DONTWAIT);

	if (seen < 0) {
		from->readable = false;
		return would_block() ? MOVED_ALL : MOVED_BROKEN;
	}
	if (seen == 0) {
		from->heard_all = true;
		from->readable = false;
		return shutdown(to->watch.fd, SHUT_WR) == 0 ? MOVED_ALL : MOVED_BROKEN;
	}
	ssize_t sent = send(to->watch.fd, chunk, (size_t)seen, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0) {
		to->writable = false;
		return would_block() ? MOVED_ALL : MOVED_BROKEN;
	}
	if (sent < seen)
		to->writable = false;
	count_bytes(from, (size_t)sent);
	return take(from->watch.fd, (size_t)sent) ? MOVED_SOME : MOVED_BROKEN;
}

static enum moved move(struct tcp_end *from, struct tcp_end *to)
{
	for (int i = 0; i < CHUNKS_A_ROUND; i++) {
		if (!from->readable || !to->writable || from->heard_all)
			return MOVED_ALL;
		enum moved moved = move_chunk(from, to);
		if (moved != MOVED_SOME)
			return moved;
	}
	return MOVED_SOME;
}

static void relay(struct tcp *tcp)
{
	enum moved out = move(&tcp->guest, &tcp->other);
	enum moved in = out == MOVED_BROKEN ? MOVED_BROKEN : move(&tcp->other, &tcp->guest);

	if (in == MOVED_BROKEN) {
		flow_end(&tcp->flow);
		return;
	}
	if (tcp->guest.heard_all && tcp->other.heard_all) {
		end_in_peace(tcp);
		return;
	}
	if (tcp->guest.heard_all || tcp->other.heard_all)
		flow_touch(&tcp->flow, WAIT_HALF_CLOSED);
	if (out == MOVED_SOME || in == MOVED_SOME)
		loop_again(&tcp->task);
}

static void go_on(struct task *task)
{
	struct tcp *tcp = LIST_OWNER(task, struct tcp, task);

	if (!tcp->flow.ended)
		relay(tcp);
}

/* A guest that refuses a client at its address may have a service on its loopback. Who asked for events gets the client,
 * and can ask the guest's agent. No byte of the client was taken yet. If the receiver ends, the client hears a reset. */
static bool hand_over(struct tcp *tcp)
{
	int error = 0;
	socklen_t length = sizeof error;
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (!tcp->flow.inward || getsockopt(tcp->guest.watch.fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 ||
	    error != ECONNREFUSED)
		return false;
	(void)setsockopt(tcp->other.watch.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	if (!events_reach(tcp->flow.machine, tcp->flow.target.port, tcp->other.watch.fd))
		return false;
	end_in_peace(tcp);
	return true;
}

static void ready(struct watch *watch, uint32_t events)
{
	struct tcp_end *end = LIST_OWNER(watch, struct tcp_end, watch);
	struct tcp *tcp = end->tcp;

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		end->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP))
		end->writable = true;
	if (events & EPOLLERR) {
		if (end == tcp->dialed && hand_over(tcp))
			return;
		/* What came before the reset is passed on as far as the other side takes it. */
		end->readable = true;
		if (!tcp->dialed)
			relay(tcp);
		flow_end(&tcp->flow);
		return;
	}
	if (end == tcp->dialed && events & EPOLLOUT) {
		tcp->dialed = NULL;
		flow_wait_no_more(&tcp->flow);
	}
	if (!tcp->dialed)
		relay(tcp);
	else if (events & EPOLLHUP)
		flow_end(&tcp->flow);
}

static struct tcp *begin(struct machine *machine, const struct endpoint *target, bool inward)
{
	struct tcp *tcp = calloc(1, sizeof *tcp);

	if (!tcp)
		return NULL;
	tcp->flow.end = end_with_reset;
	tcp->flow.target = *target;
	tcp->task.run = go_on;
	tcp->guest = (struct tcp_end){.watch = {.fd = -1, .ready = ready}, .tcp = tcp};
	tcp->other = (struct tcp_end){.watch = {.fd = -1, .ready = ready}, .tcp = tcp};
	flow_begin(&tcp->flow, machine, FLOW_TCP, inward);
	return tcp;
}

static bool watch_end(struct tcp_end *end)
{
	/* Edge-triggered: what is not read for now is not reported again, as often as it may be there. */
	return loop_watch(&end->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static bool dial(struct tcp *tcp, struct tcp_end *end, const struct endpoint *target)
{
	union socket_address to;
	socklen_t length = endpoint_to(target, &to);

	tcp->dialed = end;
	flow_wait(&tcp->flow, WAIT_DIAL);
	if (connect(end->watch.fd, &to.any, length) != 0 && errno != EINPROGRESS)
		return false;
	return watch_end(end);
}

static void dial_outside(struct tcp *tcp, const struct endpoint *target)
{
	int family = address_is_v4(&target->host) ? AF_INET : AF_INET6;
	int buffer = flow_buffer(tcp->flow.machine);

	tcp->other.watch.fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (tcp->other.watch.fd < 0) {
		flow_end(&tcp->flow);
		return;
	}
	prepare(tcp->guest.watch.fd, buffer);
	prepare_outside(tcp->other.watch.fd, buffer);
	if (!watch_end(&tcp->guest) || !dial(tcp, &tcp->other, target))
		flow_end(&tcp->flow);
}

static void from_guest(int connection, const struct endpoint *guest, const struct endpoint *target)
{
	struct machine *machine = machine_of_host(&guest->host);
	struct endpoint dialed;

	if (!machine || (target->port != DNS_PORT && !verdict_allows(machine, FLOW_TCP, target, &dialed))) {
		tcp_refuse(connection);
		return;
	}
	if (!flow_may_begin(machine, FLOW_TCP, false)) {
		machine->refused++;
		tcp_refuse(connection);
		return;
	}
	if (target->port == DNS_PORT) {
		dns_take_stream(connection, machine);
		return;
	}
	struct tcp *tcp = begin(machine, target, false);
	if (!tcp) {
		tcp_refuse(connection);
		return;
	}
	tcp->guest.watch.fd = connection;
	dial_outside(tcp, &dialed);
}

void tcp_accept(struct watch *listener, uint32_t events)
{
	(void)events;
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		union socket_address from, to;
		socklen_t from_length = sizeof from, to_length = sizeof to;
		struct endpoint guest, target;
		int connection = accept4(listener->fd, &from.any, &from_length, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (connection < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				listeners_pause(listener);
			return;
		}
		if (getsockname(connection, &to.any, &to_length) == 0 && endpoint_of(&from, &guest) &&
		    endpoint_of(&to, &target))
			from_guest(connection, &guest, &target);
		else
			tcp_refuse(connection);
	}
}

struct tcp *tcp_from_outside(int client, struct machine *machine, const struct endpoint *target)
{
	struct tcp *tcp = flow_may_begin(machine, FLOW_TCP, true) ? begin(machine, target, true) : NULL;

	if (!tcp) {
		machine->refused++;
		tcp_refuse(client);
		return NULL;
	}
	tcp->other.watch.fd = client;
	tcp->dialed = &tcp->guest;
	prepare_outside(client, flow_buffer(machine));
	flow_wait(&tcp->flow, machine->asleep ? WAIT_AWAKE : WAIT_DIAL);
	if (watch_end(&tcp->other))
		return tcp;
	flow_end(&tcp->flow);
	return NULL;
}

void tcp_dial_guest(struct tcp *tcp, int socket)
{
	tcp->guest.watch.fd = socket;
	prepare(socket, flow_buffer(tcp->flow.machine));
	if (!dial(tcp, &tcp->guest, &tcp->flow.target))
		flow_end(&tcp->flow);
}
