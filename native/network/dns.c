#include "dns.h"

#include "reverse.h"

#include <string.h>

enum {
	ROOM_PLAIN = 512, /* of an answer over UDP, without EDNS */
	EDNS_SIZE = 11,
	LOCAL_TTL_S = 10,
	CHAIN_MOST = 12,    /* aliases from the name that was asked to the one that has addresses */
	RECORDS_MOST = 512, /* records of an answer that are looked at */
	CODE_BAD_VERSION = 1, /* BADVERS, the upper bits */
	TYPE_META_FIRST = 128, /* from here to 255: transfers, signatures of transactions, ANY */
	TYPE_META_LAST = 255,
};

static const char HOST_NAME[] = "host.banger.internal";
static const char HOST_DOMAIN[] = ".banger.internal";

/* The beginning of an answer: header and question. */
static void begin_answer(struct message_writer *writer, const struct dns_question *question, unsigned flags,
			 size_t answers)
{
	bool asked = question->name.length > 0;

	message_write_header(writer, &(struct message_header){
		.id = question->id,
		.flags = (uint16_t)(FLAG_ANSWER | FLAG_RECURSION | flags |
				    (question->flags & (FLAG_RECURSION_WANTED | FLAG_CHECKING_OFF))),
		.questions = asked,
		.answers = (uint16_t)answers,
		.additions = question->edns,
	});
	if (asked)
		message_write_question(writer, &question->name, question->type);
}

static size_t end_answer(struct message_writer *writer, const struct dns_question *question, uint8_t high_code)
{
	if (question->edns)
		message_write_edns(writer, DNS_UDP_MOST, high_code, question->dnssec_ok);
	return writer->length;
}

static size_t answer_nothing(const struct dns_question *question, unsigned flags, uint8_t high_code, uint8_t *answer)
{
	struct message_writer writer = {.bytes = answer, .room = DNS_UDP_MOST};

	begin_answer(&writer, question, flags, 0);
	return end_answer(&writer, question, high_code);
}

size_t dns_fail(const struct dns_question *question, enum dns_code code, uint8_t answer[DNS_UDP_MOST])
{
	return answer_nothing(question, code, 0, answer);
}

/* Answers with addresses of the family that was asked for. */
static size_t answer_addresses(const struct dns_question *question, const struct in6_addr *addresses, size_t count,
			       uint8_t *answer)
{
	struct message_writer writer = {.bytes = answer};
	bool v4 = question->type == TYPE_A;
	size_t wanted = 0;

	for (size_t i = 0; i < count && (v4 || question->type == TYPE_AAAA); i++)
		wanted += !!IN6_IS_ADDR_V4MAPPED(&addresses[i]) == v4;
	writer.room = question->room < DNS_UDP_MOST ? question->room : DNS_UDP_MOST;
	if (question->edns)
		writer.room -= EDNS_SIZE;
	begin_answer(&writer, question, DNS_NOERROR, wanted);
	for (size_t i = 0; i < count && wanted > 0; i++)
		if (!!IN6_IS_ADDR_V4MAPPED(&addresses[i]) == v4)
			message_write_answer(&writer, question->type, LOCAL_TTL_S, &addresses[i].s6_addr[v4 ? 12 : 0],
					     v4 ? 4 : 16);
	if (writer.full)
		return answer_nothing(question, FLAG_TRUNCATED, 0, answer);
	writer.room = DNS_UDP_MOST;
	return end_answer(&writer, question, 0);
}

static size_t answer_name(const struct dns_question *question, const char *text, uint8_t *answer)
{
	struct message_writer writer = {.bytes = answer, .room = DNS_UDP_MOST};
	struct message_name name;

	message_name_of(text, &name);
	begin_answer(&writer, question, DNS_NOERROR, 1);
	message_write_answer(&writer, TYPE_PTR, LOCAL_TTL_S, name.bytes, name.length);
	return end_answer(&writer, question, 0);
}

/* Reads the one additional record that a query may have. */
static void read_edns(struct message_reader *reader, struct dns_question *question, bool *bad_version)
{
	struct message_record record;

	message_read_record(reader, &record);
	if (record.type != TYPE_OPT || record.owner.length != 1)
		reader->wrong = true;
	if (reader->wrong)
		return;
	question->edns = true;
	question->dnssec_ok = record.ttl_s >> 15 & 1;
	*bad_version = (record.ttl_s >> 16 & 0xff) != 0;
	if (question->room == ROOM_PLAIN && record.class > ROOM_PLAIN)
		question->room = record.class < DNS_UDP_MOST ? record.class : DNS_UDP_MOST;
}

/* The question, and what is refused for its form alone. */
static enum dns_code read_question(struct message_reader *reader, const struct message_header *header,
				   struct dns_question *question, bool *bad_version)
{
	uint16_t class;

	if (header->flags & FLAG_OPCODE)
		return DNS_NOTIMP;
	if (header->flags & FLAG_TRUNCATED || header->questions != 1 || header->answers || header->authorities ||
	    header->additions > 1)
		return DNS_FORMERR;
	message_read_name(reader, &question->name, false);
	question->type = message_read_16(reader);
	class = message_read_16(reader);
	if (header->additions && !reader->wrong)
		read_edns(reader, question, bad_version);
	if (reader->wrong || reader->at != reader->length) {
		*question = (struct dns_question){.id = question->id, .flags = question->flags};
		return DNS_FORMERR;
	}
	if (class != CLASS_IN)
		question->name.length = 0; /* the answer's question would say another class */
	if (class != CLASS_IN || question->type == 0 || question->type == TYPE_OPT ||
	    (question->type >= TYPE_META_FIRST && question->type <= TYPE_META_LAST))
		return DNS_REFUSED;
	return DNS_NOERROR;
}

static bool ends_in(const char *name, const char *end)
{
	size_t length = strlen(name), size = strlen(end);

	return length >= size && strcmp(name + length - size, end) == 0;
}

/* Answers about an address: by its name, or that it has none if the machine has no business there. 0: forward. */
static size_t answer_reverse(const struct dns_machine *machine, const struct dns_question *question,
			     const struct in6_addr *address, int64_t now, uint8_t *answer)
{
	const struct policy_host *host = machine->host;
	bool gateway = memcmp(address, &host->gateway_v4, sizeof *address) == 0 ||
		       memcmp(address, &host->gateway_v6, sizeof *address) == 0;
	const char *name = gateway ? HOST_NAME : names_of(machine->names, address);

	if (name && question->type == TYPE_PTR)
		return answer_name(question, name, answer);
	if (name)
		return dns_fail(question, DNS_NOERROR, answer);
	if (!policy_judge(machine->policy, host, address, 0, now).allowed)
		return dns_fail(question, DNS_NXDOMAIN, answer);
	return 0;
}

/* Answers from what is known here. 0: forward. */
static size_t answer_here(const struct dns_machine *machine, const struct dns_question *question, const char *name,
			  int64_t now, uint8_t *answer)
{
	const struct in6_addr gateways[] = {machine->host->gateway_v4, machine->host->gateway_v6};
	const struct in6_addr *addresses;
	struct in6_addr address;
	size_t count;

	if (strcmp(name, HOST_NAME) == 0)
		return answer_addresses(question, gateways, 2, answer);
	if (names_find(machine->names, name, &addresses, &count)) {
		for (size_t i = 0; i < count; i++)
			policy_pin(machine->policy, name, &addresses[i], LOCAL_TTL_S, now);
		return answer_addresses(question, addresses, count, answer);
	}
	if (ends_in(name, HOST_DOMAIN) || strcmp(name, HOST_DOMAIN + 1) == 0)
		return dns_fail(question, DNS_NXDOMAIN, answer);
	if (reverse_read(name, &address))
		return answer_reverse(machine, question, &address, now, answer);
	return 0;
}

/* Whether name servers are asked for a name. */
static bool is_asked(const struct policy *policy, const char *name)
{
	enum policy_name verdict = policy_name(policy, name);

	return verdict == NAME_ANSWERED || verdict == NAME_ALLOWED;
}

enum dns_step dns_ask(const struct dns_machine *machine, const uint8_t *query, size_t length, bool stream, int64_t now,
		      struct dns_question *question, uint8_t answer[DNS_UDP_MOST], size_t *answer_length)
{
	struct message_reader reader = {.bytes = query, .length = length};
	struct message_header header;
	char name[MESSAGE_NAME_TEXT];
	bool bad_version = false;

	message_read_header(&reader, &header);
	if (reader.wrong || header.flags & FLAG_ANSWER)
		return DNS_DROP;
	*question = (struct dns_question){.id = header.id, .room = stream ? DNS_MESSAGE_MOST : ROOM_PLAIN};
	question->flags = header.flags & (FLAG_RECURSION_WANTED | FLAG_AUTHENTIC | FLAG_CHECKING_OFF);
	enum dns_code code = read_question(&reader, &header, question, &bad_version);
	if (bad_version) {
		*answer_length = answer_nothing(question, 0, CODE_BAD_VERSION, answer);
		return DNS_ANSWER;
	}
	if (code == DNS_NOERROR && !message_name_text(&question->name, name))
		code = DNS_REFUSED;
	if (code == DNS_NOERROR) {
		if (policy_name(machine->policy, name) != NAME_DENIED &&
		    (*answer_length = answer_here(machine, question, name, now, answer)) > 0)
			return DNS_ANSWER;
		if (is_asked(machine->policy, name))
			return DNS_FORWARD;
		code = DNS_REFUSED;
	}
	*answer_length = dns_fail(question, code, answer);
	return DNS_ANSWER;
}

size_t dns_query(const struct dns_question *question, uint16_t id, uint8_t query[DNS_QUERY_MOST])
{
	struct message_writer writer = {.bytes = query, .room = DNS_QUERY_MOST};

	message_write_header(&writer, &(struct message_header){
		.id = id,
		.flags = question->flags | FLAG_RECURSION_WANTED,
		.questions = 1,
		.additions = question->edns,
	});
	message_write_question(&writer, &question->name, question->type);
	if (question->edns)
		message_write_edns(&writer, question->room < DNS_UDP_MOST ? question->room : DNS_UDP_MOST, 0,
				   question->dnssec_ok);
	return writer.length;
}

bool dns_same(const struct dns_question *one, const struct dns_question *other)
{
	return one->type == other->type && message_names_same(&one->name, &other->name);
}

/* Whether a message answers the question. */
static bool belongs(struct message_reader *reader, const struct message_header *header,
		    const struct dns_question *question, uint16_t id)
{
	struct message_name name;

	if (reader->wrong || header->id != id || !(header->flags & FLAG_ANSWER) || header->flags & FLAG_OPCODE)
		return false;
	/* A server that does not understand a query may leave the question out. */
	if (header->questions == 0)
		return (header->flags & FLAG_CODE) != DNS_NOERROR;
	message_read_name(reader, &name, false);
	if (message_read_16(reader) != question->type || message_read_16(reader) != CLASS_IN || reader->wrong)
		return false;
	return header->questions == 1 && message_names_same(&name, &question->name);
}

/* The answers of a message, each time from the first one on. */
struct answers {
	struct message_reader first;
	size_t count;
};

static bool answers_are_whole(const struct answers *answers)
{
	struct message_reader reader = answers->first;
	struct message_record record;

	for (size_t i = 0; i < answers->count; i++)
		message_read_record(&reader, &record);
	return !reader.wrong;
}

/* The alias that a name has, in its place. False: the name has none. */
static bool follow_alias(const struct answers *answers, struct message_name *name, uint32_t *ttl_s)
{
	struct message_reader reader = answers->first;
	struct message_record record;

	for (size_t i = 0; i < answers->count; i++) {
		message_read_record(&reader, &record);
		if (record.type != TYPE_CNAME || record.class != CLASS_IN || !message_names_same(&record.owner, name))
			continue;
		struct message_reader target = reader;
		target.at = record.data_at;
		message_read_name(&target, name, true);
		if (record.ttl_s < *ttl_s)
			*ttl_s = record.ttl_s;
		return !target.wrong;
	}
	return false;
}

static void pin_addresses(const struct dns_machine *machine, const struct answers *answers,
			  const struct message_name *owner, const char *asked, uint32_t ttl_s, int64_t now)
{
	struct message_reader reader = answers->first;
	struct message_record record;

	for (size_t i = 0; i < answers->count; i++) {
		struct in6_addr address = {{{[10] = 0xff, [11] = 0xff}}};
		message_read_record(&reader, &record);
		bool v4 = record.type == TYPE_A && record.data_length == 4;
		bool v6 = record.type == TYPE_AAAA && record.data_length == 16;
		if ((!v4 && !v6) || record.class != CLASS_IN || !message_names_same(&record.owner, owner))
			continue;
		memcpy(&address.s6_addr[v4 ? 12 : 0], reader.bytes + record.data_at, record.data_length);
		policy_pin(machine->policy, asked, &address, record.ttl_s < ttl_s ? record.ttl_s : ttl_s, now);
	}
}

/* Walks from the name that was asked along its aliases, and pins the addresses at the end. False: the policy denies one
 * of the names; it may have changed since the name was asked. */
static bool walk(const struct dns_machine *machine, const struct answers *answers, const struct dns_question *question,
		 int64_t now)
{
	char asked[MESSAGE_NAME_TEXT], text[MESSAGE_NAME_TEXT];
	struct message_name name = question->name;
	uint32_t ttl_s = UINT32_MAX;

	if (!message_name_text(&name, asked) || !is_asked(machine->policy, asked))
		return false;
	for (int i = 0; i < CHAIN_MOST && question->type != TYPE_CNAME; i++) {
		if (!follow_alias(answers, &name, &ttl_s))
			break;
		if (message_name_text(&name, text) && policy_name(machine->policy, text) == NAME_DENIED)
			return false;
	}
	pin_addresses(machine, answers, &name, asked, ttl_s, now);
	return true;
}

size_t dns_answer(const struct dns_machine *machine, const struct dns_question *question, uint16_t id,
		  const uint8_t *message, size_t length, int64_t now, uint8_t answer[DNS_MESSAGE_MOST])
{
	struct message_reader reader = {.bytes = message, .length = length};
	struct message_header header;

	message_read_header(&reader, &header);
	if (length > DNS_MESSAGE_MOST || !belongs(&reader, &header, question, id))
		return 0;
	unsigned code = header.flags & FLAG_CODE;
	if (header.questions == 0)
		return answer_nothing(question, code, 0, answer);
	struct answers answers = {reader, header.answers < RECORDS_MOST ? header.answers : RECORDS_MOST};
	bool truncated = header.flags & FLAG_TRUNCATED;
	if (!answers_are_whole(&answers) && truncated)
		return answer_nothing(question, FLAG_TRUNCATED, 0, answer);
	if (!answers_are_whole(&answers))
		return dns_fail(question, DNS_SERVFAIL, answer);
	if (!walk(machine, &answers, question, now))
		return dns_fail(question, DNS_REFUSED, answer);
	if (length > question->room)
		return answer_nothing(question, FLAG_TRUNCATED | code, 0, answer);
	memcpy(answer, message, length);
	answer[0] = (uint8_t)(question->id >> 8);
	answer[1] = (uint8_t)question->id;
	return length;
}
