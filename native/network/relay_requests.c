#include "relay_requests.h"

#include "relay_address.h"
#include "relay_flow.h"
#include "relay_machine.h"
#include "relay_publish.h"
#include "relay_told.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 8, ANSWER_MOST = 32 << 10, LINE_MOST = 320 };

static char answer[ANSWER_MOST];
static size_t answered;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
	va_list given;

	va_start(given, format);
	int length = vsnprintf(answer + answered, sizeof answer - answered, format, given);
	va_end(given);
	if (length > 0 && (size_t)length < sizeof answer - answered)
		answered += (size_t)length;
}

/* Splits at spaces, in place. Too many words count as WORDS. */
static size_t split(char *line, char *words[WORDS])
{
	char *rest = line;
	size_t count = 0;

	for (char *word; count < WORDS && (word = strtok_r(rest, " ", &rest));)
		words[count++] = word;
	return count;
}

static bool read_number(const char *text, unsigned long most, unsigned long *number)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*number = strtoul(text, &end, 10);
	return !errno && !*end && *number <= most;
}

static struct machine *known(const char *key)
{
	struct machine *machine = machine_of_key(key);

	if (!machine)
		say("error unknown no machine has this key");
	return machine;
}

static void carry_out_forget(char *words[WORDS])
{
	struct machine *machine = known(words[1]);

	if (!machine)
		return;
	publications_remove_of(machine);
	flows_end(machine, NULL);
	machine_remove(machine);
	say("ok");
}

static void publish(char *words[WORDS], struct packet *packet, struct machine *machine, enum flow_kind kind)
{
	unsigned long port;

	if (!key_is_valid(words[1]) || !read_number(words[4], UINT16_MAX, &port) || port == 0) {
		say("error invalid an ID and a port are wanted");
		return;
	}
	const char *why = publication_add(words[1], machine, kind, (uint16_t)port, packet->descriptors[0]);
	if (why) {
		say("error %s", why);
		return;
	}
	packet->descriptors[0] = -1;
	say("ok");
}

static void carry_out_publish(char *words[WORDS], struct packet *packet)
{
	struct machine *machine = known(words[2]);

	if (!machine)
		return;
	if (packet->descriptor_count != 1)
		say("error invalid one descriptor is wanted");
	else if (strcmp(words[3], "tcp") == 0)
		publish(words, packet, machine, FLOW_TCP);
	else if (strcmp(words[3], "udp") == 0)
		publish(words, packet, machine, FLOW_UDP);
	else
		say("error invalid the protocol is tcp or udp");
}

static void carry_out_unpublish(char *words[WORDS])
{
	if (publication_remove(words[1]))
		say("ok");
	else
		say("error unknown nothing is published with this ID");
}

static void carry_out_counters(char *words[WORDS])
{
	const struct machine *machine = known(words[1]);

	if (machine)
		say("ok denied=%" PRIu64 " flows=%u sent=%" PRIu64 " received=%" PRIu64 " opened=%" PRIu64 " refused=%" PRIu64,
		    machine->denied, machine->tcp_count + machine->udp_count, machine->sent, machine->received,
		    machine->opened, machine->refused);
}

static bool has_room(void)
{
	return sizeof answer - answered > LINE_MOST;
}

/* Lines from number `from` on, as many as an answer has room for. */
static void carry_out_list(unsigned long from)
{
	unsigned long line = 0;

	say("ok ");
	for (struct machine *one = NULL; (one = machine_after(one)) && has_room();) {
		char address[ADDRESS_TEXT];
		if (line++ < from)
			continue;
		say("machine %s", one->key);
		for (size_t i = 0; i < one->host_count; i++)
			say(" %s", address_write(&one->hosts[i].host, address));
		say("\n");
	}
	for (struct publication *one = NULL; (one = publication_after(one)) && has_room();)
		if (line++ >= from)
			say("port %s %s %s %u\n", one->id, one->machine->key, one->kind == FLOW_TCP ? "tcp" : "udp", one->port);
}

static bool is(const char *word, const char *name, size_t count, size_t wanted)
{
	return count == wanted && strcmp(word, name) == 0;
}

static void carry_out(struct packet *packet, bool *events)
{
	char *words[WORDS];
	unsigned long from = 0;

	if (strncmp(packet->text, "machine ", 8) == 0) {
		const char *why = machine_is_told(packet->text + 8);
		if (why)
			say("error %s", why);
		else
			say("ok");
		return;
	}
	size_t count = split(packet->text, words);
	if (count == 0)
		say("error invalid a request is wanted");
	else if (is(words[0], "forget", count, 2))
		carry_out_forget(words);
	else if (is(words[0], "publish", count, 5))
		carry_out_publish(words, packet);
	else if (is(words[0], "unpublish", count, 2))
		carry_out_unpublish(words);
	else if (is(words[0], "counters", count, 2))
		carry_out_counters(words);
	else if (is(words[0], "events", count, 1) && (*events = true))
		say("ok");
	else if (is(words[0], "list", count, 1) ||
		 (is(words[0], "list", count, 2) && read_number(words[1], UINT32_MAX, &from)))
		carry_out_list(from);
	else
		say("error invalid no such request, or wrong arguments");
}

const char *request_carry_out(struct packet *packet, bool *events, size_t *length)
{
	answered = 0;
	/* A text ends where its zero byte is, and must have no other. */
	if (strlen(packet->text) != packet->length)
		say("error invalid a request is text");
	else
		carry_out(packet, events);
	*length = answered;
	return answer;
}
