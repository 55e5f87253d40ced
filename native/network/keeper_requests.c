#include "keeper_requests.h"

#include "keeper_bell.h"
#include "keeper_echo.h"
#include "keeper_namespaces.h"
#include "keeper_routes.h"
#include "keeper_taps.h"
#include "keeper_words.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PORT_MOST = 65535, LINES_MOST = TAPS_MOST, LINE_ROOM = 512 };

typedef void carry_out(const struct words *words, const struct guests *guests, struct answer *answer);

__attribute__((format(printf, 2, 3))) static void say(struct answer *answer, const char *format, ...)
{
	size_t room = sizeof answer->text - answer->length;
	va_list given;

	va_start(given, format);
	int length = vsnprintf(answer->text + answer->length, room, format, given);
	va_end(given);
	if (length > 0)
		answer->length += (size_t)length < room ? (size_t)length : room - 1;
}

static void give(struct answer *answer, int descriptor)
{
	answer->descriptors[answer->descriptor_count++] = descriptor;
}

void answer_refuse(struct answer *answer, const char *code, const char *why)
{
	if (!answer->descriptors_are_ours)
		for (size_t i = 0; i < answer->descriptor_count; i++)
			close(answer->descriptors[i]);
	answer->descriptor_count = answer->length = 0;
	say(answer, "error %s %s", code, why);
}

static void refuse_word(struct answer *answer, const char *what)
{
	answer_refuse(answer, "invalid", what);
}

static void refuse_by_kernel(struct answer *answer)
{
	answer_refuse(answer, "failed", strerror(errno));
}

/* True if it is done; fills in the answer otherwise. */
static bool succeeded(enum outcome outcome, struct answer *answer)
{
	switch (outcome) {
	case DONE: return true;
	case UNKNOWN_KEY: answer_refuse(answer, "unknown", "no tap of this key"); break;
	case ADDRESS_TAKEN: answer_refuse(answer, "taken", "another tap has this address"); break;
	case ADDRESS_OUTSIDE: answer_refuse(answer, "invalid", "no guest may have this address"); break;
	case HELD: answer_refuse(answer, "held", "the tap is open in a process that had it before"); break;
	case TOO_MANY: answer_refuse(answer, "full", "too many taps, or networks of this tap"); break;
	case FAILED: refuse_by_kernel(answer); break;
	}
	return false;
}

static void conclude(enum outcome outcome, struct answer *answer)
{
	if (succeeded(outcome, answer))
		say(answer, "ok");
}

static void take_tap(const struct words *words, const struct guests *guests, struct answer *answer)
{
	const struct tap *tap;
	char name[TAP_NAME];

	(void)guests;
	if (!succeeded(taps_take(words->at[1], &tap), answer))
		return;
	tap_name(tap, name);
	answer->descriptors_are_ours = true;
	give(answer, tap->descriptor);
	say(answer, "ok %s", name);
}

static void free_tap(const struct words *words, const struct guests *guests, struct answer *answer)
{
	(void)guests;
	conclude(taps_free(words->at[1]), answer);
}

static void bind_tap(const struct words *words, const struct guests *guests, struct answer *answer)
{
	struct address v4, v6;

	(void)guests;
	if (!is_address_or_none(words->at[2], AF_INET, &v4) || !is_address_or_none(words->at[3], AF_INET6, &v6))
		refuse_word(answer, "not an IPv4 and an IPv6 address");
	else
		conclude(taps_bind(words->at[1], &v4, &v6), answer);
}

static void unbind_tap(const struct words *words, const struct guests *guests, struct answer *answer)
{
	static const struct address none;

	(void)guests;
	conclude(taps_bind(words->at[1], &none, &none), answer);
}

static void change_network(const struct words *words, enum outcome change(const char *, unsigned), struct answer *answer)
{
	unsigned network;

	if (!is_number(words->at[2], NETWORK_FIRST, NETWORK_LAST, &network))
		refuse_word(answer, "not a network");
	else
		conclude(change(words->at[1], network), answer);
}

static void join_network(const struct words *words, const struct guests *guests, struct answer *answer)
{
	(void)guests;
	change_network(words, taps_join, answer);
}

static void leave_network(const struct words *words, const struct guests *guests, struct answer *answer)
{
	(void)guests;
	change_network(words, taps_leave, answer);
}

static void list_tap(const struct tap *tap, struct answer *answer)
{
	char name[TAP_NAME], v4[ADDRESS_TEXT], v6[ADDRESS_TEXT];

	tap_name(tap, name);
	/* The first line is that of "ok". */
	say(answer, "%c%s %s %s %s ", answer->length == strlen("ok") ? ' ' : '\n', name, tap->key,
	    address_write(&tap->v4, v4), address_write(&tap->v6, v6));
	for (size_t i = 0; i < tap->network_count; i++)
		say(answer, "%s%u", i ? "," : "", tap->networks[i]);
	if (tap->network_count == 0)
		say(answer, "-");
}

/* A page of the taps that are held: those after the first `FROM`. */
static void list_taps(const struct words *words, const struct guests *guests, struct answer *answer)
{
	unsigned from = 0;
	const struct tap *tap;

	(void)guests;
	if (words->count > 1 && !is_number(words->at[1], 0, LINES_MOST, &from)) {
		refuse_word(answer, "not a number of lines");
		return;
	}
	say(answer, "ok");
	for (size_t place = 0, line = 0; (tap = taps_next(&place)); place++, line++)
		if (line >= from && answer->length + LINE_ROOM < sizeof answer->text)
			list_tap(tap, answer);
}

static void give_listeners(const struct words *words, const struct guests *guests, struct answer *answer)
{
	(void)words;
	(void)guests;
	answer->descriptors_are_ours = true;
	answer->descriptor_count = listeners_descriptors(answer->descriptors);
	answer->descriptor_count += echoes_descriptors(answer->descriptors + answer->descriptor_count);
	say(answer, "ok");
}

static void give_sockets(const struct words *words, const struct guests *guests, struct answer *answer)
{
	bool v6 = strcmp(words->at[1], "tcp6") == 0;
	unsigned count;

	(void)guests;
	if ((!v6 && strcmp(words->at[1], "tcp4") != 0) || !is_number(words->at[2], 1, SOCKETS_MOST, &count)) {
		refuse_word(answer, "not tcp4 or tcp6 and a number up to 32");
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		int descriptor = socket_tcp(v6 ? AF_INET6 : AF_INET);
		if (descriptor < 0) {
			refuse_by_kernel(answer);
			return;
		}
		give(answer, descriptor);
	}
	say(answer, "ok");
}

static void give_udp(const struct words *words, const struct guests *guests, struct answer *answer)
{
	struct address from, to;
	unsigned from_port, to_port;

	if (!is_address(words->at[1], &from) || !is_number(words->at[2], 0, PORT_MOST, &from_port) ||
	    !is_address(words->at[3], &to) || !is_number(words->at[4], 1, PORT_MOST, &to_port) ||
	    from.family != to.family || !guests_may_have(guests, &to)) {
		refuse_word(answer, "not an address and port, and those of a guest");
		return;
	}
	int descriptor = socket_udp(&from, from_port, &to, to_port);
	if (descriptor < 0) {
		refuse_by_kernel(answer);
		return;
	}
	give(answer, descriptor);
	say(answer, "ok");
}

static void give_bell(const struct words *words, const struct guests *guests, struct answer *answer)
{
	const struct tap *tap = taps_find(words->at[1]);

	if (!succeeded(tap ? DONE : UNKNOWN_KEY, answer))
		return;
	int descriptor = bell_hang(tap->interface, guests);
	if (descriptor < 0) {
		refuse_by_kernel(answer);
		return;
	}
	give(answer, descriptor);
	say(answer, "ok");
}

static void give_namespaces(const struct words *words, const struct guests *guests, struct answer *answer)
{
	(void)words;
	(void)guests;
	answer->descriptors_are_ours = true;
	namespaces_descriptors(answer->descriptors);
	answer->descriptor_count = 2;
	say(answer, "ok");
}

/* `least` and `most` words, the first included; `keyed`: the second is a key. */
static const struct {
	const char *name;
	size_t least, most;
	bool keyed;
	carry_out *carry_out;
} REQUESTS[] = {
	{"tap", 2, 2, true, take_tap},
	{"free", 2, 2, true, free_tap},
	{"bind", 4, 4, true, bind_tap},
	{"unbind", 2, 2, true, unbind_tap},
	{"join", 3, 3, true, join_network},
	{"leave", 3, 3, true, leave_network},
	{"list", 1, 2, false, list_taps},
	{"listeners", 1, 1, false, give_listeners},
	{"sockets", 3, 3, false, give_sockets},
	{"udp", 5, 5, false, give_udp},
	{"bell", 2, 2, true, give_bell},
	{"namespaces", 1, 1, false, give_namespaces},
};

void request_carry_out(const char *text, size_t length, const struct guests *guests, struct answer *answer)
{
	struct words words;

	answer->length = answer->descriptor_count = 0;
	answer->descriptors_are_ours = false;
	if (!words_split(text, length, &words)) {
		refuse_word(answer, "not words");
		return;
	}
	for (size_t i = 0; i < sizeof REQUESTS / sizeof *REQUESTS; i++) {
		if (strcmp(REQUESTS[i].name, words.at[0]) != 0)
			continue;
		if (words.count < REQUESTS[i].least || words.count > REQUESTS[i].most)
			refuse_word(answer, "too few or too many words");
		else if (REQUESTS[i].keyed && !is_key(words.at[1]))
			refuse_word(answer, "not a key");
		else
			REQUESTS[i].carry_out(&words, guests, answer);
		return;
	}
	refuse_word(answer, "no such request");
}
