#include "relay_dns_stream.h"

#include "relay_dns.h"
#include "relay_flow.h"
#include "relay_tcp.h"
#include "relay_upstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	PREFIX = 2,
	QUESTION_MOST = 1024, /* longer ones are not asked in good faith */
	ATTEMPTS = 3,
};

struct stream {
	struct flow flow;
	struct watch guest, upstream;
	uint8_t asked[PREFIX + QUESTION_MOST]; /* what came of the guest's questions */
	size_t asked_length;
	struct dns_question question; /* that a name server is asked */
	unsigned attempt;
	uint16_t id;
	bool sent;
	uint8_t prefix[PREFIX]; /* of what the name server sends */
	size_t heard;           /* bytes of it, with the prefix */
	uint8_t *message;
	uint8_t *answer; /* for the guest, with its prefix; NULL: none */
	size_t answer_length, answer_sent;
};

static uint8_t answer[PREFIX + DNS_MESSAGE_MOST];

static void forget_upstream(struct stream *stream)
{
	loop_close(&stream->upstream);
	free(stream->message);
	stream->message = NULL;
	stream->heard = 0;
	stream->sent = false;
}

static void end(struct flow *flow)
{
	struct stream *stream = (struct stream *)(void *)flow;

	forget_upstream(stream);
	loop_close(&stream->guest);
	free(stream->answer);
	stream->answer = NULL;
	flow_leave(flow);
}

static bool would_block(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static void send_answer(struct stream *stream)
{
	ssize_t sent = send(stream->guest.fd, stream->answer + stream->answer_sent,
			    stream->answer_length - stream->answer_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0 && !would_block()) {
		flow_end(&stream->flow);
		return;
	}
	stream->answer_sent += sent > 0 ? (size_t)sent : 0;
	if (stream->answer_sent < stream->answer_length) {
		loop_alter(&stream->guest, EPOLLOUT);
		return;
	}
	free(stream->answer);
	stream->answer = NULL;
	loop_alter(&stream->guest, EPOLLIN);
}

/* Answers with the message of this length that stands in `answer` after its prefix. */
static void reply(struct stream *stream, size_t length)
{
	forget_upstream(stream);
	dns_prefix(answer, length);
	stream->answer_length = PREFIX + length;
	stream->answer_sent = 0;
	stream->answer = malloc(stream->answer_length);
	if (!stream->answer) {
		flow_end(&stream->flow);
		return;
	}
	memcpy(stream->answer, answer, stream->answer_length);
	flow_wait(&stream->flow, WAIT_QUESTION);
	send_answer(stream);
}

static bool ask(struct stream *stream)
{
	forget_upstream(stream);
	stream->upstream.fd = upstream_connect(stream->flow.machine, stream->attempt, SOCK_STREAM);
	flow_wait(&stream->flow, WAIT_NAME);
	return stream->upstream.fd >= 0 && loop_watch(&stream->upstream, EPOLLOUT);
}

static void ask_some(struct stream *stream)
{
	for (; stream->attempt < ATTEMPTS; stream->attempt++)
		if (ask(stream))
			return;
	reply(stream, dns_fail(&stream->question, DNS_SERVFAIL, answer + PREFIX));
}

static void ask_next(struct stream *stream)
{
	stream->attempt++;
	ask_some(stream);
}

static void send_question(struct stream *stream)
{
	uint8_t query[PREFIX + DNS_QUERY_MOST];

	stream->id = dns_random_id();
	size_t length = dns_query(&stream->question, stream->id, query + PREFIX);
	dns_prefix(query, length);
	stream->sent = send(stream->upstream.fd, query, PREFIX + length, MSG_DONTWAIT | MSG_NOSIGNAL) ==
		       (ssize_t)(PREFIX + length);
	if (stream->sent)
		loop_alter(&stream->upstream, EPOLLIN);
	else
		ask_next(stream);
}

static void judge(struct stream *stream, size_t length)
{
	struct dns_machine machine = dns_machine_of(stream->flow.machine);
	size_t size = dns_answer(&machine, &stream->question, stream->id, stream->message, length, loop_now(),
				 answer + PREFIX);

	if (size > 0)
		reply(stream, size);
	else
		ask_next(stream);
}

/* Receives up to the end of the prefix, or of the message. False: the server ended, or there is no memory. */
static bool hear(struct stream *stream)
{
	size_t whole = dns_prefixed_length(stream->prefix);
	ssize_t length;

	if (stream->heard < PREFIX)
		length = recv(stream->upstream.fd, stream->prefix + stream->heard, PREFIX - stream->heard, MSG_DONTWAIT);
	else
		length = recv(stream->upstream.fd, stream->message + stream->heard - PREFIX, PREFIX + whole - stream->heard,
			      MSG_DONTWAIT);
	if (length <= 0)
		return length < 0 && would_block();
	stream->heard += (size_t)length;
	if (stream->heard == PREFIX && !stream->message) {
		stream->message = malloc(dns_prefixed_length(stream->prefix) + 1);
		return stream->message && dns_prefixed_length(stream->prefix) > 0;
	}
	return true;
}

static void upstream_ready(struct watch *watch, uint32_t events)
{
	struct stream *stream = LIST_OWNER(watch, struct stream, upstream);

	if (!stream->sent) {
		if (events & (EPOLLERR | EPOLLHUP))
			ask_next(stream);
		else
			send_question(stream);
		return;
	}
	if (!hear(stream)) {
		ask_next(stream);
		return;
	}
	size_t length = dns_prefixed_length(stream->prefix);
	if (stream->message && stream->heard == PREFIX + length)
		judge(stream, length);
}

static void consider(struct stream *stream, size_t length)
{
	struct dns_machine machine = dns_machine_of(stream->flow.machine);
	size_t size = 0;

	switch (dns_ask(&machine, stream->asked + PREFIX, length, true, loop_now(), &stream->question,
			answer + PREFIX, &size)) {
	case DNS_DROP: flow_end(&stream->flow); break;
	case DNS_ANSWER: reply(stream, size); break;
	case DNS_FORWARD:
		loop_alter(&stream->guest, 0);
		stream->attempt = 0;
		ask_some(stream);
		break;
	}
}

/* One question a turn; receives no further than its end. */
static void read_question(struct stream *stream)
{
	size_t whole = PREFIX;

	if (stream->asked_length >= PREFIX)
		whole += dns_prefixed_length(stream->asked);
	if (whole > sizeof stream->asked || (stream->asked_length >= PREFIX && whole == PREFIX)) {
		flow_end(&stream->flow);
		return;
	}
	ssize_t length =
		recv(stream->guest.fd, stream->asked + stream->asked_length, whole - stream->asked_length, MSG_DONTWAIT);
	if (length <= 0) {
		if (length == 0 || !would_block())
			flow_end(&stream->flow);
		return;
	}
	stream->asked_length += (size_t)length;
	if (stream->asked_length == whole && whole > PREFIX) {
		stream->asked_length = 0;
		consider(stream, whole - PREFIX);
	}
}

static void guest_ready(struct watch *watch, uint32_t events)
{
	struct stream *stream = LIST_OWNER(watch, struct stream, guest);

	if (events & (EPOLLERR | EPOLLHUP))
		flow_end(&stream->flow);
	else if (stream->answer)
		send_answer(stream);
	else
		read_question(stream);
}

static void expire(struct flow *flow)
{
	struct stream *stream = (struct stream *)(void *)flow;

	if (stream->upstream.fd >= 0)
		ask_next(stream);
	else
		flow_end(flow);
}

void dns_take_stream(int connection, struct machine *machine)
{
	struct stream *stream = calloc(1, sizeof *stream);

	if (!stream) {
		tcp_refuse(connection);
		return;
	}
	stream->flow.end = end;
	stream->flow.expire = expire;
	stream->flow.target.port = DNS_PORT;
	stream->guest = (struct watch){.fd = connection, .ready = guest_ready};
	stream->upstream = (struct watch){.fd = -1, .ready = upstream_ready};
	flow_begin(&stream->flow, machine, FLOW_TCP, false);
	flow_wait(&stream->flow, WAIT_QUESTION);
	if (!loop_watch(&stream->guest, EPOLLIN))
		flow_end(&stream->flow);
}
