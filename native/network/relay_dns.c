#include "relay_dns.h"

#include "relay_flow.h"
#include "relay_host.h"
#include "relay_upstream.h"
#include "relay_voice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

/* More of the same question would be more chances to guess the id and port of one. */
enum { SAME_MOST = 4 };

/* Servers are asked one after the other; a program in the guest gives up after some five seconds. */
enum { ATTEMPTS = 3 };

/* A question of a guest, from the time that a name server is asked until the answer is sent. */
struct query {
	struct flow flow; /* its target is the server that the guest asked */
	struct endpoint guest;
	struct link unheard; /* in the list of those whose answer waits for a voice */
	struct dns_question question;
	unsigned attempt;
	uint16_t id;
	struct watch upstream;
	uint8_t *answer; /* NULL: none yet */
	size_t answer_length;
};

static uint8_t message[DNS_MESSAGE_MOST], answer[DNS_MESSAGE_MOST];
static struct list unheard;

uint16_t dns_random_id(void)
{
	uint16_t id = 0;

	/* Does not block once the kernel has started; then the port alone is a secret. */
	(void)!getrandom(&id, sizeof id, GRND_NONBLOCK);
	return id;
}

struct dns_machine dns_machine_of(const struct machine *machine)
{
	return (struct dns_machine){.policy = machine->policy, .names = machine->names, .host = host_of_names()};
}

static void end(struct flow *flow)
{
	struct query *query = (struct query *)(void *)flow;

	loop_close(&query->upstream);
	list_remove(&query->unheard);
	free(query->answer);
	query->answer = NULL;
	flow_leave(flow);
}

static void say(struct query *query, const uint8_t *bytes, size_t length)
{
	voice_say(&query->flow.target, &query->guest, bytes, length);
	flow_end(&query->flow);
}

/* Sends the answer, or keeps it until the keeper has made a socket that it can come from. */
static void reply(struct query *query, const uint8_t *bytes, size_t length)
{
	enum voice_state state = voice_find(&query->flow.target, &query->guest);

	loop_close(&query->upstream);
	if (state == VOICE_LATER)
		query->answer = malloc(length);
	if (!query->answer) {
		say(query, bytes, length);
		return;
	}
	memcpy(query->answer, bytes, length);
	query->answer_length = length;
	list_append(&unheard, &query->unheard);
	flow_wait(&query->flow, WAIT_NAME);
}

static void fail(struct query *query)
{
	reply(query, answer, dns_fail(&query->question, DNS_SERVFAIL, answer));
}

/* False: there is no way to this server. */
static bool ask(struct query *query)
{
	uint8_t bytes[DNS_QUERY_MOST];

	query->id = dns_random_id();
	size_t length = dns_query(&query->question, query->id, bytes);
	flow_wait(&query->flow, WAIT_NAME);
	loop_close(&query->upstream);
	query->upstream.fd = upstream_connect(query->flow.machine, query->attempt, SOCK_DGRAM);
	return query->upstream.fd >= 0 && loop_watch(&query->upstream, EPOLLIN) &&
	       send(query->upstream.fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}

static void ask_some(struct query *query)
{
	for (; query->attempt < ATTEMPTS; query->attempt++)
		if (ask(query))
			return;
	fail(query);
}

static void ask_next(struct query *query)
{
	query->attempt++;
	ask_some(query);
}

static void expire(struct flow *flow)
{
	struct query *query = (struct query *)(void *)flow;

	if (query->answer)
		flow_end(flow);
	else
		ask_next(query);
}

static void ready(struct watch *watch, uint32_t events)
{
	struct query *query = LIST_OWNER(watch, struct query, upstream);
	struct dns_machine machine = dns_machine_of(query->flow.machine);
	ssize_t length = recv(watch->fd, message, sizeof message, MSG_DONTWAIT);

	(void)events;
	if (length < 0) {
		/* ICMP says that nobody listens there. */
		if (errno != EAGAIN && errno != EINTR)
			ask_next(query);
		return;
	}
	size_t size = dns_answer(&machine, &query->question, query->id, message, (size_t)length, loop_now(), answer);
	if (size > 0)
		reply(query, answer, size);
}

/* NULL: the machine has too many. */
static struct query *begin(struct machine *machine, const struct endpoint *guest, const struct endpoint *server)
{
	struct query *query = flow_may_begin(machine, FLOW_UDP, false) ? calloc(1, sizeof *query) : NULL;

	if (!query) {
		machine->refused++;
		return NULL;
	}
	query->flow.target = *server;
	query->flow.end = end;
	query->flow.expire = expire;
	query->guest = *guest;
	query->upstream = (struct watch){.fd = -1, .ready = ready};
	flow_begin(&query->flow, machine, FLOW_UDP, false);
	return query;
}

static bool asks_too_often(const struct machine *machine, const struct dns_question *question)
{
	unsigned same = 0;

	for (struct link *link = list_first(&machine->udp); link; link = list_after(&machine->udp, link)) {
		const struct flow *flow = LIST_OWNER(link, struct flow, of_machine);
		if (flow->end == end && dns_same(&((const struct query *)(const void *)flow)->question, question))
			same++;
	}
	return same >= SAME_MOST;
}

void dns_take_datagram(struct machine *machine, const struct endpoint *guest, const struct endpoint *server,
		       const char *bytes, size_t length)
{
	struct dns_machine seen = dns_machine_of(machine);
	struct dns_question question;
	struct query *query;
	size_t size = 0;

	switch (dns_ask(&seen, (const uint8_t *)bytes, length, false, loop_now(), &question, answer, &size)) {
	case DNS_DROP: break;
	case DNS_ANSWER:
		if ((query = begin(machine, guest, server)))
			reply(query, answer, size);
		break;
	case DNS_FORWARD:
		if (asks_too_often(machine, &question) || !(query = begin(machine, guest, server)))
			break;
		/* The voice is asked for now, so that it is there when the answer is. */
		(void)voice_find(server, guest);
		query->question = question;
		ask_some(query);
		break;
	}
}

static void voices_came(void)
{
	struct link *link = list_first(&unheard);

	while (link) {
		struct query *query = LIST_OWNER(link, struct query, unheard);
		link = list_after(&unheard, link);
		if (voice_find(&query->flow.target, &query->guest) != VOICE_LATER)
			say(query, query->answer, query->answer_length);
	}
}

void dns_open(void)
{
	list_open(&unheard);
	voices_open(voices_came);
}
