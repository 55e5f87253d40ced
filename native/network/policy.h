/* What a machine may reach: its rules, and the addresses that names of its rules led to (pins).
 *
 * Pure: no sockets, no clock. An address is a struct in6_addr, IPv4 as ::ffff:a.b.c.d. Times are milliseconds of any
 * clock that does not go back, always the same one. Memory is bounded by the numbers below.
 *
 * The most specific rule that matches counts: a name before an address, then the longer prefix, then the smaller range
 * of ports; of equal rules, a `deny`. A closed range (ranges.h) counts as a `deny` with the range's prefix, and yields to
 * a rule with the same prefix. What nothing matches, the base decides. */
#ifndef BANGER_POLICY_H
#define BANGER_POLICY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	POLICY_RULES_MOST = 256,
	POLICY_PINS_MOST = 1024,
	POLICY_RULE_TEXT = 288, /* bytes of a rule's line, and of any text in a verdict, with the zero byte */
};

/* The host that the relay runs on. */
struct policy_host {
	const struct in6_addr *own; /* addresses of the host's interfaces */
	size_t own_count;
	/* Addresses by which guests know the host, `host.banger.internal`: a dial to them leads to the host's loopback. */
	struct in6_addr gateway_v4, gateway_v6;
};

struct verdict {
	bool allowed;
	bool to_loopback; /* allowed, and to be dialed at 127.0.0.1 or ::1, by the family of the address */
	/* What denied, in words that programs can read: `closed WORD RANGE`, `closed own-address`,
	 * `closed host-loopback`, `closed internal`, or the line of the rule. Valid as long as the policy. */
	const char *rule;
};

struct policy;

/* Allows nothing until lines say more (`base internal`). NULL: no memory. */
struct policy *policy_new(void);
void policy_free(struct policy *policy);

/* Takes one line: `base internet|lan|host|internal`, `allow|deny CIDR-OR-NAME [PORT[-PORT]|*]`. NULL: taken; otherwise
 * why not, a static text, and nothing was changed. */
const char *policy_line(struct policy *policy, const char *line);

/* Whether a guest may dial this address and port. For a flow that exists, `now` is the time at which it began: a pin
 * that has expired since then still counts. */
struct verdict policy_judge(const struct policy *policy, const struct policy_host *host,
			    const struct in6_addr *address, uint16_t port, int64_t now);

/* The same for an echo request: allowed if the guest may dial the address at any port. */
struct verdict policy_judge_echo(const struct policy *policy, const struct policy_host *host,
				 const struct in6_addr *address, int64_t now);

/* Takes over the pins of an earlier policy of the same machine, as far as the rules that they belong to are still there. */
void policy_keep_pins(struct policy *policy, const struct policy *earlier);

/* For dns.c: what the policy says of a name (lower case, no final dot). */
enum policy_name {
	NAME_ANSWERED, /* no rule is about it, and the policy lets any name be asked */
	NAME_ALLOWED,  /* a rule allows it */
	NAME_DENIED,   /* a rule denies it at every port */
	NAME_CLOSED,   /* no rule is about it, and the policy closes all else */
};

enum policy_name policy_name(const struct policy *policy, const char *name);

/* Pins an address to each rule about `name`, for `ttl_s` seconds, at least PIN_SECONDS_LEAST. When there are too many,
 * the pin that would expire first goes. */
enum { PIN_SECONDS_LEAST = 60, PIN_SECONDS_MOST = 86400 };
void policy_pin(struct policy *policy, const char *name, const struct in6_addr *address, uint32_t ttl_s, int64_t now);

#endif
