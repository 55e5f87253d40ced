/* One rule of a policy: an `allow` or `deny` line, read. */
#ifndef BANGER_RULE_H
#define BANGER_RULE_H

#include "policy.h"

struct rule {
	bool allow;
	bool named;   /* about a name, otherwise about addresses */
	bool below;   /* of a name: about all names below it (`*.`), and not itself */
	uint8_t prefix;
	struct in6_addr network;
	uint16_t first_port, last_port;
	uint16_t name_at, name_length; /* the name's place in `text`; without `*.` */
	char text[POLICY_RULE_TEXT]; /* the line, in lower case and with single spaces */
};

/* Reads a line, `allow|deny ...`. NULL, or why it cannot be read. */
const char *rule_read(struct rule *rule, const char *line);

/* Whether a rule is about a name (lower case, no final dot). */
bool rule_names(const struct rule *rule, const char *name);

/* How specific a rule is: a larger number is more specific. */
unsigned rule_rank(const struct rule *rule);

/* How many ports a rule is about. */
unsigned rule_ports(const struct rule *rule);

bool rule_has_port(const struct rule *rule, uint16_t port);

/* Whether a rule is about IPv4 addresses. */
bool rule_is_v4(const struct rule *rule);

/* Whether a rule is about every address of its family. */
bool rule_is_of_all(const struct rule *rule);

#endif
