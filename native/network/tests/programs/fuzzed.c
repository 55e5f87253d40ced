/* A library for the fuzzer: any bytes to the policy and to the resolver. A bug ends the process: the bytes lie before a
 * page that cannot be read, undefined behaviour traps, and what must always hold is checked. */
#include "../../dns.h"

#include "../../resolvers.h"
#include "../../words.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, PAGES = 17, ANSWER_ID = 0xbeef, LINE = 600 };

#define MUST(condition)         \
	do {                    \
		if (!(condition)) \
			abort(); \
	} while (0)

static struct in6_addr own[1];
static struct policy_host host = {.own = own, .own_count = 1};

static struct in6_addr address_of(const char *text)
{
	struct in6_addr address;

	MUST(word_is_address(text, &address));
	return address;
}

static void prepare_host(void)
{
	own[0] = address_of("192.0.2.7");
	host.gateway_v4 = address_of("10.213.0.1");
	host.gateway_v6 = address_of("fd62:616e:6765::1");
}

/* The bytes again, with nothing behind them. */
static const uint8_t *at_the_edge(const uint8_t *bytes, size_t length)
{
	static uint8_t *pages;

	if (!pages) {
		pages = mmap(NULL, (PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		MUST(pages != MAP_FAILED && mprotect(pages + PAGES * PAGE, PAGE, PROT_NONE) == 0);
	}
	memcpy(pages + PAGES * PAGE - length, bytes, length);
	return pages + PAGES * PAGE - length;
}

static void check_query(const struct dns_machine *machine, const struct dns_question *question)
{
	struct dns_question again;
	uint8_t query[DNS_QUERY_MOST], answer[DNS_UDP_MOST];
	size_t length = dns_query(question, ANSWER_ID, query);

	MUST(dns_ask(machine, query, length, false, 0, &again, answer, &length) == DNS_FORWARD);
	MUST(message_names_same(&again.name, &question->name) && again.type == question->type);
	MUST(again.id == ANSWER_ID && again.edns == question->edns && again.dnssec_ok == question->dnssec_ok);
}

/* An answer of ours can be read to its end. */
static void check_answer(const uint8_t *answer, size_t length, uint16_t id)
{
	struct message_reader reader = {.bytes = answer, .length = length};
	struct message_header header;
	struct message_name name;
	struct message_record record;

	message_read_header(&reader, &header);
	MUST(header.id == id && header.flags & FLAG_ANSWER && header.questions <= 1 && header.authorities == 0);
	if (header.questions) {
		message_read_name(&reader, &name, false);
		message_read_32(&reader);
	}
	for (unsigned i = 0; i < header.answers + header.additions; i++)
		message_read_record(&reader, &record);
	MUST(!reader.wrong && reader.at == length);
}

static void feed_query(const struct dns_machine *machine, bool stream, const uint8_t *bytes, size_t length)
{
	static uint8_t answer[DNS_UDP_MOST];
	struct dns_question question;
	size_t answer_length = 0;

	switch (dns_ask(machine, bytes, length, stream, 0, &question, answer, &answer_length)) {
	case DNS_FORWARD:
		check_query(machine, &question);
		break;
	case DNS_ANSWER:
		MUST(answer_length <= DNS_UDP_MOST);
		check_answer(answer, answer_length, (uint16_t)(bytes[0] << 8 | bytes[1]));
		break;
	case DNS_DROP:
		MUST(length < MESSAGE_HEADER || bytes[2] & 0x80);
	}
}

static void feed_answer(const struct dns_machine *machine, bool stream, const uint8_t *bytes, size_t length)
{
	static const uint8_t query[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\1a\7example\0\0\1\0\1";
	static uint8_t answer[DNS_MESSAGE_MOST];
	struct dns_question question;
	size_t unused;

	MUST(dns_ask(machine, query, sizeof query - 1, stream, 0, &question, answer, &unused) == DNS_FORWARD);
	size_t size = dns_answer(machine, &question, ANSWER_ID, bytes, length, 0, answer);
	MUST(size <= question.room);
	MUST(size == 0 || (answer[0] == 0x12 && answer[1] == 0x34));
	MUST(!policy_judge(machine->policy, &host, &own[0], 443, 1).allowed);
}

/* The first byte says what the others are: bit 0, over TCP; bit 1, an answer of a name server; bit 2, one that belongs
 * to the query. */
void feed_dns(const uint8_t *bytes, size_t length);
void feed_dns(const uint8_t *bytes, size_t length)
{
	static const uint8_t belongs[] = "\xbe\xef\x81\x80\0\1\0\4\0\0\0\0\1a\7example\0\0\1\0\1";
	static uint8_t whole[PAGES * PAGE];
	struct names *names = names_new();
	struct dns_machine machine = {policy_new(), names, &host};
	unsigned kind = length ? bytes[0] : 0;
	size_t head = kind & 4 ? sizeof belongs - 1 : 0;

	prepare_host();
	MUST(machine.policy && names && length < sizeof whole - sizeof belongs);
	MUST(!policy_line(machine.policy, "base internet") && !policy_line(machine.policy, "allow *.example 443"));
	MUST(!policy_line(machine.policy, "deny b.example"));
	MUST(!names_line(names, "name db 10.213.0.5 fd62:616e:6765::5"));
	memcpy(whole, belongs, head);
	if (length)
		memcpy(whole + head, bytes + 1, length - 1);
	head += length ? length - 1 : 0;
	if (kind & 6)
		feed_answer(&machine, kind & 1, at_the_edge(whole, head), head);
	else
		feed_query(&machine, kind & 1, at_the_edge(whole, head), head);
	policy_free(machine.policy);
	names_free(names);
}

static void check_policy(struct policy *policy)
{
	static const char *const never[] = {"127.0.0.1", "::1", "0.0.0.0", "::", "2002:7f00:1::1", "64:ff9b::127.0.0.9"};
	struct policy *next = policy_new();
	struct in6_addr address = address_of("8.8.8.8");

	MUST(next);
	policy_pin(policy, "a.example", &address, 60, 0);
	policy_keep_pins(next, policy);
	MUST(!policy_judge(next, &host, &address, 80, 0).allowed);
	policy_free(next);
	policy_name(policy, "a.example");
	for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
		address = address_of(never[i]);
		struct verdict verdict = policy_judge(policy, &host, &address, 80, 0);
		MUST(!verdict.allowed && !verdict.to_loopback && strlen(verdict.rule) < POLICY_RULE_TEXT);
	}
	policy_judge(policy, &host, &host.gateway_v4, 80, 0);
	policy_judge(policy, &host, &own[0], 80, 0);
}

/* Lines of a policy, of names, and of a resolv.conf. */
void feed_policy(const uint8_t *bytes, size_t length);
void feed_policy(const uint8_t *bytes, size_t length)
{
	struct policy *policy = policy_new();
	struct names *names = names_new();
	struct resolver resolvers[RESOLVERS_MOST];
	size_t count, at = 0;

	prepare_host();
	MUST(policy && names && length < PAGES * PAGE);
	while (at < length) {
		const uint8_t *end = memchr(bytes + at, '\n', length - at);
		size_t size = end ? (size_t)(end - bytes - at) : length - at;
		char line[LINE];
		size_t kept = size < sizeof line ? size : sizeof line - 1;
		memcpy(line, bytes + at, kept);
		line[kept] = 0;
		policy_line(policy, line);
		names_line(names, line);
		at += size + 1;
	}
	check_policy(policy);
	count = resolvers_read((const char *)at_the_edge(bytes, length), length, resolvers);
	MUST(count >= 1 && count <= RESOLVERS_MOST);
	for (size_t i = 0; i < count; i++)
		MUST(memchr(resolvers[i].scope, 0, sizeof resolvers[i].scope));
	policy_free(policy);
	names_free(names);
}
