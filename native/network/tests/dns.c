/* The resolver: which queries are answered, refused and forwarded, which answers are passed on, and what is pinned.
 * Then messages at random, which do no harm. */
#include "../dns.h"

#include "../resolvers.h"
#include "../words.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUEST_ID = 0x1234, OUR_ID = 0xbeef, TYPE_TXT = 16, TYPE_ANY = 255, ROOM = 4096, SEVERAL = 20000 };

static struct policy_host host;
static struct dns_machine machine = {.host = &host};
static struct policy *policy; /* of the machine */
static struct names *names;
static uint8_t answer[DNS_MESSAGE_MOST];
static size_t answer_length;
static struct dns_question question;

static struct in6_addr address_of(const char *text)
{
	struct in6_addr address;

	assert(word_is_address(text, &address));
	return address;
}

static void begin(const char *base)
{
	policy_free(policy);
	names_free(names);
	policy = policy_new();
	names = names_new();
	machine.policy = policy;
	machine.names = names;
	assert(!policy_line(policy, base));
}

static void rule(const char *line)
{
	assert(!policy_line(policy, line));
}

static void write_name(struct message_writer *writer, const char *text)
{
	struct message_name name;

	message_name_of(text, &name);
	message_write(writer, name.bytes, name.length);
}

/* A message of one question; `record` adds answers to it. */
static struct message_writer message_of(uint16_t id, unsigned flags, const char *name, uint16_t type)
{
	static uint8_t bytes[2][ROOM]; /* a query and an answer at the same time */
	struct message_writer writer = {.bytes = bytes[!!(flags & FLAG_ANSWER)], .room = ROOM};
	struct message_name asked;

	message_name_of(name, &asked);
	message_write_header(&writer, &(struct message_header){.id = id, .flags = (uint16_t)flags, .questions = 1});
	message_write_question(&writer, &asked, type);
	return writer;
}

static void record_of(struct message_writer *writer, const char *owner, uint16_t type, uint32_t ttl_s, const void *data,
		      size_t length)
{
	write_name(writer, owner);
	message_write_16(writer, type);
	message_write_16(writer, CLASS_IN);
	message_write_32(writer, ttl_s);
	message_write_16(writer, (uint16_t)length);
	message_write(writer, data, length);
	writer->bytes[7]++;
}

static void address_record(struct message_writer *writer, const char *owner, const char *text, uint32_t ttl_s)
{
	struct in6_addr address = address_of(text);
	bool v4 = IN6_IS_ADDR_V4MAPPED(&address);

	record_of(writer, owner, v4 ? TYPE_A : TYPE_AAAA, ttl_s, &address.s6_addr[v4 ? 12 : 0], v4 ? 4 : 16);
}

static void alias_record(struct message_writer *writer, const char *owner, const char *target, uint32_t ttl_s)
{
	struct message_name name;

	message_name_of(target, &name);
	record_of(writer, owner, TYPE_CNAME, ttl_s, name.bytes, name.length);
}

/* From a buffer that is as long as the message, so that sanitizers see a byte that is read beyond it. */
static enum dns_step ask_bytes(const uint8_t *bytes, size_t length, bool stream)
{
	uint8_t *query = malloc(length + !length);
	enum dns_step step;

	assert(query);
	memcpy(query, bytes, length);
	answer_length = 0;
	step = dns_ask(&machine, query, length, stream, 0, &question, answer, &answer_length);
	free(query);
	return step;
}

static enum dns_step ask(const char *name, uint16_t type)
{
	struct message_writer query = message_of(GUEST_ID, FLAG_RECURSION_WANTED, name, type);

	return ask_bytes(query.bytes, query.length, false);
}

static bool forwards(const char *name, uint16_t type)
{
	return ask(name, type) == DNS_FORWARD;
}

static struct message_header answered(void)
{
	struct message_reader reader = {.bytes = answer, .length = answer_length};
	struct message_header header;

	message_read_header(&reader, &header);
	assert(!reader.wrong && header.flags & FLAG_ANSWER && header.id == GUEST_ID);
	return header;
}

static unsigned code(void)
{
	return answered().flags & FLAG_CODE;
}

static bool refuses(const char *name, uint16_t type)
{
	return ask(name, type) == DNS_ANSWER && code() == DNS_REFUSED && answered().answers == 0;
}

/* Whether the answer has these addresses, and no more. */
static bool has_addresses(const char *const *expected, size_t count)
{
	struct message_reader reader = {.bytes = answer, .length = answer_length};
	struct message_header header;
	struct message_name name;
	struct message_record record;

	message_read_header(&reader, &header);
	message_read_name(&reader, &name, false);
	message_read_32(&reader);
	if (header.answers != count)
		return false;
	for (size_t i = 0; i < count; i++) {
		struct in6_addr address = address_of(expected[i]);
		bool v4 = IN6_IS_ADDR_V4MAPPED(&address);
		message_read_record(&reader, &record);
		if (record.type != (v4 ? TYPE_A : TYPE_AAAA) || record.data_length != (v4 ? 4 : 16) ||
		    memcmp(&address.s6_addr[v4 ? 12 : 0], answer + record.data_at, record.data_length) != 0)
			return false;
	}
	return !reader.wrong && reader.at == reader.length;
}

static size_t pass_bytes(const uint8_t *bytes, size_t length)
{
	uint8_t *message = malloc(length + !length);

	assert(message);
	memcpy(message, bytes, length);
	answer_length = dns_answer(&machine, &question, OUR_ID, message, length, 0, answer);
	free(message);
	return answer_length;
}

static bool passes(const struct message_writer *message)
{
	return pass_bytes(message->bytes, message->length) == message->length && code() == DNS_NOERROR &&
	       memcmp(answer + 2, message->bytes + 2, message->length - 2) == 0;
}

static bool reaches(const char *text, uint16_t port, int64_t now)
{
	struct in6_addr address = address_of(text);

	return policy_judge(policy, &host, &address, port, now).allowed;
}

static void test_names_of_the_machine(void)
{
	begin("base internal");
	assert(!names_line(names, "name db 10.213.0.5 fd62:616e:6765::5"));
	assert(!names_line(names, "name DB.MyNet 10.213.0.5 fd62:616e:6765::5"));
	assert(!names_line(names, "name web 10.213.0.7"));
	assert(!names_line(names, "name web 10.213.0.6 10.213.0.7"));
	assert(ask("db", TYPE_A) == DNS_ANSWER && has_addresses((const char *[]){"10.213.0.5"}, 1));
	assert(ask("dB.mYnEt", TYPE_A) == DNS_ANSWER && has_addresses((const char *[]){"10.213.0.5"}, 1));
	assert(ask("db", TYPE_AAAA) == DNS_ANSWER && has_addresses((const char *[]){"fd62:616e:6765::5"}, 1));
	assert(ask("web", TYPE_A) == DNS_ANSWER && has_addresses((const char *[]){"10.213.0.7", "10.213.0.6"}, 2));
	assert(ask("web", TYPE_AAAA) == DNS_ANSWER && code() == DNS_NOERROR && answered().answers == 0);
	assert(ask("db", TYPE_TXT) == DNS_ANSWER && code() == DNS_NOERROR && answered().answers == 0);
	assert(refuses("other", TYPE_A) && refuses("x.db", TYPE_A) && refuses("", TYPE_A));
	assert(ask("host.banger.internal", TYPE_A) == DNS_ANSWER && has_addresses((const char *[]){"10.213.0.1"}, 1));
	assert(ask("Host.Banger.Internal", TYPE_AAAA) == DNS_ANSWER);
	assert(has_addresses((const char *[]){"fd62:616e:6765::1"}, 1));
	assert(ask("other.banger.internal", TYPE_A) == DNS_ANSWER && code() == DNS_NXDOMAIN);
	rule("deny db");
	assert(refuses("db", TYPE_A) && !refuses("5.0.213.10.in-addr.arpa", TYPE_PTR));
}

static bool is_named(const char *reverse, const char *expected)
{
	struct message_reader reader = {.bytes = answer};
	struct message_header header;
	struct message_name name, wanted;
	struct message_record record;

	if (ask(reverse, TYPE_PTR) != DNS_ANSWER || code() != DNS_NOERROR || answered().answers != 1)
		return false;
	reader.length = answer_length;
	message_read_header(&reader, &header);
	message_read_name(&reader, &name, false);
	message_read_32(&reader);
	message_read_record(&reader, &record);
	reader.at = record.data_at;
	message_read_name(&reader, &name, false);
	message_name_of(expected, &wanted);
	return record.type == TYPE_PTR && !reader.wrong && message_names_same(&name, &wanted);
}

static void test_names_of_addresses(void)
{
	begin("base internet");
	assert(!names_line(names, "name db.mynet 10.213.0.5 fd62:616e:6765::5"));
	assert(is_named("5.0.213.10.in-addr.arpa", "db.mynet"));
	assert(is_named("5.0.213.10.IN-ADDR.ARPA", "db.mynet"));
	assert(is_named("5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.5.6.7.6.e.6.1.6.2.6.d.f.ip6.arpa", "db.mynet"));
	assert(is_named("1.0.213.10.in-addr.arpa", "host.banger.internal"));
	assert(ask("9.0.213.10.in-addr.arpa", TYPE_PTR) == DNS_ANSWER && code() == DNS_NXDOMAIN);
	assert(ask("1.0.0.127.in-addr.arpa", TYPE_PTR) == DNS_ANSWER && code() == DNS_NXDOMAIN);
	assert(forwards("4.3.2.1.in-addr.arpa", TYPE_PTR));
	/* No addresses: forwarded as any name. */
	assert(forwards("0.213.10.in-addr.arpa", TYPE_PTR) && forwards("1.2.3.4.5.in-addr.arpa", TYPE_PTR));
	assert(forwards("256.1.1.1.in-addr.arpa", TYPE_PTR) && forwards("0.0.d.f.ip6.arpa", TYPE_PTR));
	assert(forwards("x1.0.213.10.in-addr.arpa", TYPE_PTR) && forwards("ip6.arpa", TYPE_PTR));
	begin("base lan");
	assert(forwards("9.0.0.10.in-addr.arpa", TYPE_PTR));
	begin("base internal");
	assert(ask("4.3.2.1.in-addr.arpa", TYPE_PTR) == DNS_ANSWER && code() == DNS_NXDOMAIN);
}

static void test_what_is_forwarded_and_refused(void)
{
	begin("base internet");
	assert(forwards("a.example", TYPE_A) && forwards("a.example", TYPE_TXT) && forwards("", 2));
	rule("deny *.bad.example");
	assert(refuses("x.bad.example", TYPE_A) && refuses("X.BAD.example", TYPE_TXT) && forwards("bad.example", TYPE_A));
	assert(refuses("a.example", TYPE_ANY) && refuses("a.example", 252) && refuses("a.example", TYPE_OPT));
	rule("deny 0.0.0.0/0");
	rule("allow good.example");
	assert(refuses("a.example", TYPE_A) && refuses("payload.tunnel.example", TYPE_TXT));
	assert(forwards("good.example", TYPE_A) && forwards("GOOD.example", TYPE_AAAA));
	assert(refuses("a.good.example", TYPE_A));
}

static void test_a_query_for_a_name_server_is_written_by_us(void)
{
	uint8_t query[DNS_QUERY_MOST];
	struct message_writer plain = message_of(GUEST_ID, 0, "A.example", TYPE_A);
	struct message_writer expected = {.bytes = (uint8_t[300]){0}, .room = 300};
	struct message_name name;
	size_t length;

	begin("base internet");
	assert(ask_bytes(plain.bytes, plain.length, false) == DNS_FORWARD && !question.edns && question.room == 512);
	length = dns_query(&question, OUR_ID, query);
	plain.bytes[0] = OUR_ID >> 8;
	plain.bytes[1] = OUR_ID & 0xff;
	plain.bytes[2] = FLAG_RECURSION_WANTED >> 8;
	assert(length == plain.length && memcmp(query, plain.bytes, length) == 0);

	plain = message_of(GUEST_ID, FLAG_RECURSION_WANTED | FLAG_CHECKING_OFF, "a.example", TYPE_A);
	plain.bytes[11] = 1;
	message_write(&plain, "\0\0\x29\x10\0\0\0\x80\0\0\x0c\0\x0a\0\x08" "cookies!", 23);
	assert(ask_bytes(plain.bytes, plain.length, false) == DNS_FORWARD);
	assert(question.edns && question.dnssec_ok && question.room == DNS_UDP_MOST);
	length = dns_query(&question, OUR_ID, query);
	message_name_of("a.example", &name);
	message_write_header(&expected, &(struct message_header){
		OUR_ID, FLAG_RECURSION_WANTED | FLAG_CHECKING_OFF, .questions = 1, .additions = 1});
	message_write_question(&expected, &name, TYPE_A);
	message_write_edns(&expected, DNS_UDP_MOST, 0, true);
	assert(length == expected.length && memcmp(query, expected.bytes, length) == 0);
	assert(ask_bytes(plain.bytes, plain.length, true) == DNS_FORWARD && question.room == DNS_MESSAGE_MOST);
}

static void test_queries_that_are_malformed(void)
{
	const struct {
		const char *bytes;
		size_t length;
		int code; /* -1: no answer at all */
	} cases[] = {
		{"", 0, -1},
		{"\x12\x34\1\0\0\1\0\0\0\0\0", 11, -1},
		{"\x12\x34\x81\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1", 19, -1}, /* an answer */
		{"\x12\x34\1\0\0\1\0\0\0\0\0\0", 12, DNS_FORMERR},
		{"\x12\x34\1\0\0\0\0\0\0\0\0\0", 12, DNS_FORMERR},
		{"\x12\x34\1\0\0\2\0\0\0\0\0\0\1a\0\0\1\0\1\1b\0\0\1\0\1", 26, DNS_FORMERR},
		{"\x12\x34\1\0\0\1\0\1\0\0\0\0\1a\0\0\1\0\1", 19, DNS_FORMERR},
		{"\x12\x34\1\0\0\1\0\0\0\1\0\0\1a\0\0\1\0\1", 19, DNS_FORMERR},
		{"\x12\x34\1\0\0\1\0\0\0\0\0\1\1a\0\0\1\0\1", 19, DNS_FORMERR},
		{"\x12\x34\1\0\0\1\0\0\0\0\0\2\1a\0\0\1\0\1", 19, DNS_FORMERR},
		{"\x12\x34\3\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1", 19, DNS_FORMERR}, /* truncated */
		{"\x12\x34\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0", 18, DNS_FORMERR},
		{"\x12\x34\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1x", 20, DNS_FORMERR}, /* more than a question */
		{"\x12\x34\1\0\0\1\0\0\0\0\0\0\5a\0\0\1\0\1", 19, DNS_FORMERR},
		{"\x12\x34\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", 18, DNS_FORMERR}, /* leads to itself */
		{"\x12\x34\1\0\0\1\0\0\0\0\0\0\xc0\0\0\1\0\1", 18, DNS_FORMERR},
		{"\x12\x34\1\0\0\1\0\0\0\0\0\0\x41" "a\0\0\1\0\1", 19, DNS_FORMERR}, /* no such kind of label */
		{"\x12\x34\1\0\0\1\0\0\0\0\0\1\1a\0\0\1\0\1\0\0\xfa\0\1\0\0\0\0\0\0", 30, DNS_FORMERR}, /* TSIG */
		{"\x12\x34\1\0\0\1\0\0\0\0\0\1\1a\0\0\1\0\1\1o\0\0\x29\4\0\0\0\0\0\0\0", 32, DNS_FORMERR},
		{"\x12\x34\1\0\0\1\0\0\0\0\0\1\1a\0\0\1\0\1\0\0\x29\4\0\0\0\0\0\0\5a", 31, DNS_FORMERR},
		{"\x12\x34\1\0\0\1\0\0\0\0\0\1\1a\0\0\1\0\1\0\0\x29\4\0\0\1\0\0\0\0", 30, 0}, /* BADVERS is 16 */
		{"\x12\x34\x21\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1", 19, DNS_NOTIMP}, /* NOTIFY */
		{"\x12\x34\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\3", 19, DNS_REFUSED}, /* CHAOS */
		{"\x12\x34\1\0\0\1\0\0\0\0\0\0\3a.b\0\0\1\0\1", 21, DNS_REFUSED}, /* a dot within a label */
		{"\x12\x34\1\0\0\1\0\0\0\0\0\0\3a\0b\0\0\1\0\1", 21, DNS_REFUSED},
		{"\x12\x34\1\0\0\1\0\0\0\0\0\0\2\xc3\xa9\0\0\1\0\1", 20, DNS_REFUSED},
	};

	begin("base internet");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		enum dns_step step = ask_bytes((const uint8_t *)cases[i].bytes, cases[i].length, false);
		if (cases[i].code < 0 ? step != DNS_DROP : step != DNS_ANSWER || (int)code() != cases[i].code) {
			fprintf(stderr, "case %zu: step %d\n", i, step);
			assert(false);
		}
		assert(answer_length <= cases[i].length + 11);
	}
}

static void test_a_name_may_have_255_bytes(void)
{
	static uint8_t bytes[ROOM];
	struct message_writer query = {.bytes = bytes, .room = sizeof bytes};
	uint8_t label[64];
	uint8_t forwarded[DNS_QUERY_MOST];

	begin("base internet");
	memset(label, 'a', sizeof label);
	for (int last = 61; last <= 62; last++) {
		query.length = 0;
		message_write_header(&query, &(struct message_header){.id = GUEST_ID, .questions = 1, .additions = 1});
		label[0] = 63;
		for (int i = 0; i < 3; i++)
			message_write(&query, label, 64);
		label[0] = (uint8_t)last;
		message_write(&query, label, (size_t)last + 1);
		message_write(&query, "\0\0\1\0\1", 5);
		message_write_edns(&query, 4096, 0, false);
		if (last == 61) {
			assert(ask_bytes(query.bytes, query.length, false) == DNS_FORWARD);
			assert(question.name.length == 255);
			assert(dns_query(&question, OUR_ID, forwarded) == 12 + 255 + 4 + 11);
			dns_fail(&question, DNS_SERVFAIL, answer);
		} else {
			assert(ask_bytes(query.bytes, query.length, false) == DNS_ANSWER && code() == DNS_FORMERR);
		}
	}
}

static void test_answers_that_belong(void)
{
	struct message_writer message = message_of(OUR_ID, FLAG_ANSWER | FLAG_RECURSION, "A.Example", TYPE_A);

	begin("base internet");
	address_record(&message, "a.example", "1.2.3.4", 300);
	assert(forwards("A.example", TYPE_A));
	struct dns_question other = question;
	assert(forwards("b.example", TYPE_A) && !dns_same(&question, &other));
	assert(forwards("a.example", TYPE_AAAA) && !dns_same(&question, &other));
	assert(forwards("a.example", TYPE_A) && dns_same(&question, &other) && passes(&message));
	/* Of somebody else: go on waiting. */
	for (size_t bit = 0; bit < 8 * 12; bit++) {
		bool question_count = bit / 8 == 4 || bit / 8 == 5;
		bool matters = bit < 16 || (bit / 8 == 2 && (bit % 8 == 0 || (bit % 8 > 0 && bit % 8 < 5))) || question_count;
		message.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		assert((pass_bytes(message.bytes, message.length) == 0) == matters);
		message.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
	}
	message = message_of(OUR_ID, FLAG_ANSWER, "b.example", TYPE_A);
	assert(pass_bytes(message.bytes, message.length) == 0);
	message = message_of(OUR_ID, FLAG_ANSWER, "a.example", TYPE_AAAA);
	assert(pass_bytes(message.bytes, message.length) == 0);
	message = message_of(OUR_ID, FLAG_ANSWER, "a.example", TYPE_A);
	message.bytes[message.length - 1] = 3;
	assert(pass_bytes(message.bytes, message.length) == 0 && pass_bytes(message.bytes, 11) == 0);
	/* A server that does not know EDNS leaves out the question. */
	assert(pass_bytes((const uint8_t *)"\xbe\xef\x80\1\0\0\0\0\0\0\0\0", 12) > 0 && code() == DNS_FORMERR);
	assert(pass_bytes((const uint8_t *)"\xbe\xef\x80\0\0\0\0\0\0\0\0\0", 12) == 0);
	message = message_of(OUR_ID, FLAG_ANSWER | DNS_NXDOMAIN, "a.example", TYPE_A);
	assert(pass_bytes(message.bytes, message.length) > 0 && code() == DNS_NXDOMAIN);
}

static void test_answers_that_are_malformed(void)
{
	struct message_writer message = message_of(OUR_ID, FLAG_ANSWER, "a.example", TYPE_A);

	begin("base internet");
	rule("allow a.example");
	rule("deny 0.0.0.0/0");
	assert(forwards("a.example", TYPE_A));
	address_record(&message, "a.example", "1.2.3.4", 300);
	for (size_t cut = 1; cut < 20; cut++)
		assert(pass_bytes(message.bytes, message.length - cut) > 0 && code() == DNS_SERVFAIL);
	assert(!reaches("1.2.3.4", 80, 1));
	message.bytes[2] |= FLAG_TRUNCATED >> 8;
	assert(pass_bytes(message.bytes, message.length - 4) > 0 && answered().flags & FLAG_TRUNCATED);
	message = message_of(OUR_ID, FLAG_ANSWER, "a.example", TYPE_A);
	message.bytes[7] = 2;
	message_write(&message, "\xc0\x30\0\1\0\1\0\0\1\0\0\4\1\2\3\4\xc0\x1b\0\1\0\1\0\0\1\0\0\4\1\2\3\4", 32);
	assert(pass_bytes(message.bytes, message.length) > 0 && code() == DNS_SERVFAIL);
}

static void test_an_answer_that_is_too_long_is_truncated(void)
{
	struct message_writer message = message_of(OUR_ID, FLAG_ANSWER, "a.example", TYPE_A);

	begin("base internet");
	assert(forwards("a.example", TYPE_A));
	for (int i = 0; i < 40; i++)
		address_record(&message, "a.example", "1.2.3.4", 300);
	assert(message.length > 512 && pass_bytes(message.bytes, message.length) > 0);
	assert(answered().flags & FLAG_TRUNCATED && answered().answers == 0 && answer_length < 512);
	question.room = DNS_MESSAGE_MOST;
	assert(passes(&message));
	for (int i = 6; i < 25; i++) {
		char line[64];
		snprintf(line, sizeof line, "name many fd62:616e:6765::%x", i);
		assert(!names_line(names, line));
	}
	assert(ask("many", TYPE_AAAA) == DNS_ANSWER && answered().flags & FLAG_TRUNCATED && answered().answers == 0);
	message = message_of(GUEST_ID, 0, "many", TYPE_AAAA);
	assert(ask_bytes(message.bytes, message.length, true) == DNS_ANSWER && answered().answers == 19);
}

static void test_pins_of_answers(void)
{
	struct message_writer message = message_of(OUR_ID, FLAG_ANSWER, "www.good.example", TYPE_A);

	begin("base internal");
	rule("allow www.good.example 443");
	assert(forwards("www.good.example", TYPE_A));
	/* Aliases in any order, and what is no part of the chain. */
	address_record(&message, "edge.cdn.example", "1.2.3.4", 300);
	address_record(&message, "other.cdn.example", "1.2.3.5", 300);
	alias_record(&message, "b.cdn.example", "Edge.cdn.example", 70);
	alias_record(&message, "WWW.good.example", "b.cdn.example", 300);
	address_record(&message, "www.good.example", "1.2.3.6", 300);
	address_record(&message, "edge.cdn.example", "10.0.0.7", 300);
	address_record(&message, "edge.cdn.example", "169.254.169.254", 300);
	address_record(&message, "edge.cdn.example", "127.0.0.1", 300);
	assert(passes(&message));
	assert(reaches("1.2.3.4", 443, 69999) && !reaches("1.2.3.4", 443, 70000) && !reaches("1.2.3.4", 80, 1));
	assert(!reaches("1.2.3.5", 443, 1) && !reaches("1.2.3.6", 443, 1));
	assert(reaches("10.0.0.7", 443, 1) && !reaches("169.254.169.254", 443, 1) && !reaches("127.0.0.1", 443, 1));

	rule("deny *.cdn.example");
	assert(pass_bytes(message.bytes, message.length) > 0 && code() == DNS_REFUSED && answered().answers == 0);
	begin("base internal"); /* the policy has changed while the name server was asked */
	assert(pass_bytes(message.bytes, message.length) > 0 && code() == DNS_REFUSED);
}

static void test_pins_of_an_answer_with_compressed_names(void)
{
	/* As name servers write them: www is an alias of edge.cdn.example, written at 41 of the message, which has two addresses. */
	static const char records[] = "\xc0\x0c\0\5\0\1\0\0\0\x50\0\x0b\4edge\3cdn\xc0\x10"
				      "\xc0\x29\0\1\0\1\0\0\0\x78\0\4\1\2\3\4"
				      "\xc0\x29\0\1\0\1\0\0\0\x78\0\4\1\2\3\5";
	struct message_writer message = message_of(OUR_ID, FLAG_ANSWER, "www.example", TYPE_A);

	begin("base internal");
	rule("allow www.example");
	assert(forwards("www.example", TYPE_A));
	message_write(&message, records, sizeof records - 1);
	message.bytes[7] = 3;
	assert(passes(&message));
	assert(reaches("1.2.3.4", 80, 79999) && reaches("1.2.3.5", 80, 79999) && !reaches("1.2.3.5", 80, 80000));
	rule("deny edge.cdn.example");
	assert(pass_bytes(message.bytes, message.length) > 0 && code() == DNS_REFUSED);
}

static void test_aliases_that_lead_round_or_far(void)
{
	struct message_writer message = message_of(OUR_ID, FLAG_ANSWER, "n0.example", TYPE_A);
	char owner[32], target[32];

	begin("base internal");
	rule("allow n0.example");
	assert(forwards("n0.example", TYPE_A));
	alias_record(&message, "n0.example", "n1.example", 300);
	alias_record(&message, "n1.example", "n0.example", 300);
	assert(passes(&message));
	question.room = DNS_MESSAGE_MOST;
	message = message_of(OUR_ID, FLAG_ANSWER, "n0.example", TYPE_A);
	for (int i = 0; i < 40; i++) {
		snprintf(owner, sizeof owner, "n%d.example", i);
		snprintf(target, sizeof target, "n%d.example", i + 1);
		alias_record(&message, owner, target, 300);
	}
	address_record(&message, "n40.example", "1.2.3.4", 300);
	assert(passes(&message) && !reaches("1.2.3.4", 80, 1));
}

static void test_added_hosts_are_pinned_to_rules_of_their_names(void)
{
	begin("base internet");
	assert(!names_line(names, "name nas 192.168.1.9 169.254.1.1"));
	rule("allow nas 445");
	assert(!reaches("192.168.1.9", 445, 1));
	assert(ask("nas", TYPE_A) == DNS_ANSWER && reaches("192.168.1.9", 445, 1) && !reaches("169.254.1.1", 445, 1));
}

static void test_lines_of_names(void)
{
	const char *const wrong[] = {"", "name", "name db", "name db x", "name d..b 1.2.3.4", "name *.db 1.2.3.4",
				     "name db 1.2.3.4 1.2.3", "names db 1.2.3.4", "name db 1.2.3.4/32", "name db [::1]"};
	char line[64];

	begin("base internal");
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert(names_line(names, wrong[i]));
	for (int i = 0; i < NAMES_MOST; i++) {
		snprintf(line, sizeof line, "name m%d 10.213.%d.%d", i, i / 256, i % 256);
		assert(!names_line(names, line));
	}
	assert(names_line(names, "name onemore 10.213.0.1") && !names_line(names, "name m7 10.213.9.9"));
	for (int i = 2; i < NAME_ADDRESSES_MOST; i++) {
		snprintf(line, sizeof line, "name m7 10.214.0.%d", i);
		assert(!names_line(names, line));
	}
	assert(names_line(names, "name m7 10.214.0.200"));
	assert(ask("m1023", TYPE_A) == DNS_ANSWER && has_addresses((const char *[]){"10.213.3.255"}, 1));
	names_free(NULL);
}

static void test_name_servers_of_the_host(void)
{
	const char *text = "# nameserver 9.9.9.9\nsearch lan\nnameserver\t10.0.0.2  # office\r\nnameserver fe80::1%eth0\n"
			   "nameserver x\nnameserver fe80::1%anamethatistoolong\n nameserver ::1\nnameserver 8.8.8.8";
	struct resolver resolvers[RESOLVERS_MOST];
	char long_line[2048];

	assert(resolvers_read(text, strlen(text), resolvers) == 3);
	assert(IN6_IS_ADDR_V4MAPPED(&resolvers[0].host) && resolvers[0].host.s6_addr[15] == 2 && !resolvers[0].scope[0]);
	assert(resolvers[1].host.s6_addr[0] == 0xfe && strcmp(resolvers[1].scope, "eth0") == 0);
	assert(IN6_IS_ADDR_LOOPBACK(&resolvers[2].host) && !resolvers[2].scope[0]);
	assert(resolvers_read("", 0, resolvers) == 1 && resolvers[0].host.s6_addr[12] == 127);
	assert(resolvers_read("nameserver 8.8.8.8xxx", 18, resolvers) == 1 && resolvers[0].host.s6_addr[12] == 8);
	memset(long_line, ' ', sizeof long_line);
	memcpy(long_line + sizeof long_line - 19, "\nnameserver 9.9.9.9", 19);
	assert(resolvers_read(long_line, sizeof long_line, resolvers) == 1 && resolvers[0].host.s6_addr[12] == 9);
}

static uint32_t draw(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 16);
}

static void spoil(struct message_writer *message, uint64_t *state)
{
	for (uint32_t times = draw(state) % 4; times > 0; times--)
		message->bytes[draw(state) % message->length] = (uint8_t)(draw(state) % 3 ? draw(state) : 0xc0);
	if (draw(state) % 4 == 0)
		message->length = draw(state) % (message->length + 1);
}

static void test_messages_at_random(void)
{
	uint64_t state = 0x5eed5eed5eedULL;

	begin("base internet");
	rule("allow *.example 443");
	rule("deny x.example");
	for (int i = 0; i < SEVERAL; i++) {
		struct message_writer query = message_of(GUEST_ID, 0, "a.b.example", draw(&state) % 2 ? TYPE_A : TYPE_PTR);
		if (draw(&state) % 2) {
			query.bytes[11] = 1;
			message_write_edns(&query, (uint16_t)draw(&state), 0, true);
		}
		spoil(&query, &state);
		ask_bytes(query.bytes, query.length, draw(&state) % 2);
		assert(forwards("a.b.example", TYPE_A));
		struct message_writer message = message_of(OUR_ID, FLAG_ANSWER, "a.b.example", TYPE_A);
		alias_record(&message, "a.b.example", "c.example", draw(&state));
		message.bytes[7]++;
		message_write(&message, "\xc0\x0c\0\1\0\1\0\0\1\0\0\4\1\2\3\4", 16);
		address_record(&message, "c.example", "1.2.3.4", draw(&state));
		spoil(&message, &state);
		pass_bytes(message.bytes, message.length);
		assert(answer_length <= 512);
	}
}

int main(void)
{
	host.gateway_v4 = address_of("10.213.0.1");
	host.gateway_v6 = address_of("fd62:616e:6765::1");
	test_names_of_the_machine();
	test_names_of_addresses();
	test_what_is_forwarded_and_refused();
	test_a_query_for_a_name_server_is_written_by_us();
	test_queries_that_are_malformed();
	test_a_name_may_have_255_bytes();
	test_answers_that_belong();
	test_answers_that_are_malformed();
	test_an_answer_that_is_too_long_is_truncated();
	test_pins_of_answers();
	test_pins_of_an_answer_with_compressed_names();
	test_aliases_that_lead_round_or_far();
	test_added_hosts_are_pinned_to_rules_of_their_names();
	test_lines_of_names();
	test_name_servers_of_the_host();
	test_messages_at_random();
	policy_free(policy);
	names_free(names);
	puts("ok: the resolver");
	return 0;
}
