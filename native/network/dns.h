/* The resolver's decisions: which queries of a guest are answered from its names, refused, or forwarded, and which
 * answers of a name server are passed on.
 *
 * Pure: no sockets, no clock, no chance. The way of a query:
 *
 *     dns_ask -> DNS_ANSWER: send `answer`
 *             -> DNS_FORWARD: keep `question`; dns_query with a random id, send it from a random port
 *                -> each message that comes from that server: dns_answer, until it does not return 0
 *                -> nothing came in time: dns_fail(question, DNS_SERVFAIL)
 *
 * A query over TCP is forwarded over TCP. Messages are without the length that TCP puts before them. */
#ifndef BANGER_DNS_H
#define BANGER_DNS_H

#include "message.h"
#include "names.h"
#include "policy.h"

enum {
	DNS_MESSAGE_MOST = 65535,
	DNS_QUERY_MOST = 300, /* bytes of a query that dns_query writes */
	DNS_UDP_MOST = 1232,  /* bytes of an answer over UDP that fit through any network; more than this is truncated */
};

enum dns_code {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
};

enum dns_step { DNS_DROP, DNS_ANSWER, DNS_FORWARD };

/* What is kept of a query while a name server is asked. */
struct dns_question {
	struct message_name name;
	uint16_t type;
	uint16_t id; /* that the guest chose */
	uint16_t flags; /* of the guest that count: RD, AD, CD */
	bool edns, dnssec_ok;
	uint16_t room; /* bytes of an answer that the guest takes */
};

/* A machine, as the resolver sees it. */
struct dns_machine {
	struct policy *policy; /* gets pins */
	const struct names *names;
	const struct policy_host *host;
};

/* Decides about a query. `stream`: it came over TCP. DNS_ANSWER fills `answer` and `answer_length`; DNS_FORWARD fills
 * `question`. */
enum dns_step dns_ask(const struct dns_machine *machine, const uint8_t *query, size_t length, bool stream, int64_t now,
		      struct dns_question *question, uint8_t answer[DNS_UDP_MOST], size_t *answer_length);

/* Writes the query for a name server. Its length. */
size_t dns_query(const struct dns_question *question, uint16_t id, uint8_t query[DNS_QUERY_MOST]);

/* Judges a message that came from the name server that was asked, pins addresses of the machine's rules, and writes the
 * answer for the guest. Its length; 0: the message is no answer to this query, go on waiting. */
size_t dns_answer(const struct dns_machine *machine, const struct dns_question *question, uint16_t id,
		  const uint8_t *message, size_t length, int64_t now, uint8_t answer[DNS_MESSAGE_MOST]);

/* Whether two queries ask the same. Few of them should be under way for a machine at a time: each is one more chance for
 * an attacker who works together with the guest to guess the id and port of one. */
bool dns_same(const struct dns_question *one, const struct dns_question *other);

/* Writes an answer without records. Its length. */
size_t dns_fail(const struct dns_question *question, enum dns_code code, uint8_t answer[DNS_UDP_MOST]);

/* The two bytes that TCP puts before a message. */
static inline size_t dns_prefixed_length(const uint8_t prefix[2])
{
	return (size_t)(prefix[0] << 8 | prefix[1]);
}

static inline void dns_prefix(uint8_t prefix[2], size_t length)
{
	prefix[0] = (uint8_t)(length >> 8);
	prefix[1] = (uint8_t)length;
}

#endif
