#include "policy.h"

#include "pins.h"
#include "ranges.h"
#include "rule.h"
#include "words.h"

#include <stdlib.h>
#include <string.h>

enum { PORTS_ALL = 65536, ADDRESS_BITS = 128 };

static const char HOST_NAME[] = "host.banger.internal";
static const char CLOSED_INTERNAL[] = "closed internal";
static const char CLOSED_OWN[] = "closed own-address";
static const char CLOSED_LOOPBACK[] = "closed host-loopback";

enum base { BASE_INTERNAL, BASE_INTERNET, BASE_LAN, BASE_HOST, BASES };

static const char *const BASE_NAMES[BASES] = {"internal", "internet", "lan", "host"};

struct policy {
	enum base base;
	struct rule *rules;
	size_t rule_count, rule_room;
	struct pins pins;
};

/* What speaks for or against a dial; the most specific reason counts. */
struct reason {
	bool allow;
	bool by_rule; /* otherwise by the base */
	unsigned rank, ports;
	const char *text;
};

static bool beats(const struct reason *one, const struct reason *other)
{
	if (one->rank != other->rank)
		return one->rank > other->rank;
	if (one->ports != other->ports)
		return one->ports < other->ports;
	if (one->by_rule != other->by_rule)
		return one->by_rule;
	return !one->allow && other->allow;
}

static void weigh(struct reason *best, struct reason reason)
{
	if (beats(&reason, best))
		*best = reason;
}

static struct reason reason_of(const struct rule *rule)
{
	return (struct reason){rule->allow, true, rule_rank(rule), rule_ports(rule), rule->text};
}

static struct reason closed(unsigned prefix, const char *text)
{
	return (struct reason){false, false, prefix, PORTS_ALL, text};
}

static bool same(const struct in6_addr *one, const struct in6_addr *other)
{
	return memcmp(one, other, sizeof *one) == 0;
}

struct policy *policy_new(void)
{
	struct policy *policy = calloc(1, sizeof *policy);

	if (policy)
		policy->pins.most = POLICY_PINS_MOST;
	return policy;
}

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	pins_free(&policy->pins);
	free(policy->rules);
	free(policy);
}

static const char *read_base(struct policy *policy, const char *line)
{
	struct words words;

	if (words_read(&words, line) && words.count == 2)
		for (int base = 0; base < BASES; base++)
			if (strcmp(words.at[1], BASE_NAMES[base]) == 0) {
				policy->base = (enum base)base;
				return NULL;
			}
	return "unknown base";
}

static bool grow(struct policy *policy)
{
	size_t room = policy->rule_room ? policy->rule_room * 2 : 4;
	struct rule *rules = realloc(policy->rules, room * sizeof *rules);

	if (!rules)
		return false;
	policy->rules = rules;
	policy->rule_room = room;
	return true;
}

const char *policy_line(struct policy *policy, const char *line)
{
	const char *wrong;

	if (strncmp(line, "base ", 5) == 0)
		return read_base(policy, line);
	if (policy->rule_count == POLICY_RULES_MOST)
		return "too many rules";
	if (policy->rule_count == policy->rule_room && !grow(policy))
		return "no memory";
	wrong = rule_read(&policy->rules[policy->rule_count], line);
	if (!wrong)
		policy->rule_count++;
	return wrong;
}

static bool is_gateway(const struct policy_host *host, const struct in6_addr *address)
{
	return same(address, &host->gateway_v4) || same(address, &host->gateway_v6);
}

static bool is_own(const struct policy_host *host, const struct in6_addr *address)
{
	for (size_t i = 0; i < host->own_count; i++)
		if (same(address, &host->own[i]))
			return true;
	return false;
}

/* What the base says. Whether the address may also be reached by the answer to a name goes to `by_name`; whether
 * nothing can open it, to `never`. */
static struct reason ask_base(const struct policy *policy, const struct policy_host *host,
			      const struct in6_addr *address, bool *by_name, bool *never)
{
	/* Any rule beats this: no rule is about more than all ports of all addresses. */
	struct reason best = {policy->base != BASE_INTERNAL, false, 0, PORTS_ALL + 1, CLOSED_INTERNAL};
	bool opens_local = policy->base == BASE_LAN || policy->base == BASE_HOST;
	const struct closed_range *range;

	*by_name = true;
	*never = false;
	for (size_t i = 0; (range = range_at(i)); i++) {
		if (!range_has(&range->network, range->prefix, address))
			continue;
		if (range->kind != RANGE_LOCAL || !opens_local)
			weigh(&best, closed(range->prefix, range->text));
		*by_name = *by_name && range->kind == RANGE_LOCAL;
		*never = *never || range->kind == RANGE_NEVER;
	}
	if (!*never && (is_own(host, address) || is_gateway(host, address))) {
		const char *text = is_gateway(host, address) ? CLOSED_LOOPBACK : CLOSED_OWN;
		if (policy->base == BASE_HOST)
			weigh(&best, (struct reason){true, false, ADDRESS_BITS, PORTS_ALL, text});
		else
			weigh(&best, closed(ADDRESS_BITS, text));
		*by_name = false;
	}
	return best;
}

/* Whether a rule is about the name of the host's loopback. A pattern such as `*.internal` means a company's names, and
 * does not open the host. */
static bool names_host(const struct rule *rule)
{
	return rule_names(rule, HOST_NAME) && !(rule->allow && rule->below);
}

static void ask_rules(const struct policy *policy, const struct in6_addr *address, bool gateway, uint16_t port,
		      struct reason *best)
{
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct rule *rule = &policy->rules[i];
		bool about = rule->named ? gateway && names_host(rule)
					 : range_has(&rule->network, rule->prefix, address);
		if (about && rule_has_port(rule, port))
			weigh(best, reason_of(rule));
	}
}

static void ask_pins(const struct policy *policy, const struct in6_addr *address, bool by_name, uint16_t port,
		     int64_t now, struct reason *best)
{
	for (size_t i = 0; i < policy->pins.count; i++) {
		const struct pin *pin = &policy->pins.at[i];
		const struct rule *rule = &policy->rules[pin->rule];
		if (!same(&pin->address, address) || pin->end <= now || !rule_has_port(rule, port))
			continue;
		if (by_name || !rule->allow)
			weigh(best, reason_of(rule));
	}
}

/* For an address as it is written, whatever address it carries. */
static struct verdict judge(const struct policy *policy, const struct policy_host *host,
			    const struct in6_addr *address, uint16_t port, int64_t now)
{
	bool by_name, never;
	struct reason best = ask_base(policy, host, address, &by_name, &never);

	if (!never) {
		ask_rules(policy, address, is_gateway(host, address), port, &best);
		ask_pins(policy, address, by_name, port, now, &best);
	}
	return (struct verdict){best.allow, best.allow && is_gateway(host, address), best.allow ? "" : best.text};
}

struct verdict policy_judge(const struct policy *policy, const struct policy_host *host,
			    const struct in6_addr *address, uint16_t port, int64_t now)
{
	struct in6_addr inner;
	struct verdict verdict = judge(policy, host, address, port, now);

	if (verdict.allowed && range_inner(address, &inner)) {
		struct verdict second = judge(policy, host, &inner, port, now);
		if (!second.allowed)
			return second;
	}
	return verdict;
}

/* A verdict changes with the port only where a range of ports of a rule begins or has ended. */
struct verdict policy_judge_echo(const struct policy *policy, const struct policy_host *host,
				 const struct in6_addr *address, int64_t now)
{
	struct verdict first = policy_judge(policy, host, address, 1, now);

	if (first.allowed)
		return first;
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct rule *rule = &policy->rules[i];
		const unsigned ports[] = {rule->first_port, rule->last_port + 1U};
		for (size_t j = 0; j < sizeof ports / sizeof *ports; j++) {
			if (ports[j] == 0 || ports[j] >= PORTS_ALL)
				continue;
			struct verdict verdict = policy_judge(policy, host, address, (uint16_t)ports[j], now);
			if (verdict.allowed)
				return verdict;
		}
	}
	return first;
}

void policy_keep_pins(struct policy *policy, const struct policy *earlier)
{
	for (size_t i = 0; i < earlier->pins.count; i++) {
		const struct pin *pin = &earlier->pins.at[i];
		for (size_t rule = 0; rule < policy->rule_count; rule++)
			if (strcmp(policy->rules[rule].text, earlier->rules[pin->rule].text) == 0)
				pins_add(&policy->pins, &pin->address, rule, pin->end);
	}
}

/* Whether a `deny` is about all ports of all IPv4 addresses, or of all IPv6 addresses. */
static bool denies_all(const struct policy *policy, bool v4)
{
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct rule *rule = &policy->rules[i];
		if (!rule->allow && rule_is_of_all(rule) && rule_is_v4(rule) == v4 && rule_ports(rule) == PORTS_ALL)
			return true;
	}
	return false;
}

/* Whether names are answered that no rule is about. A query carries data out: no wider than the world is open. */
static bool opens_names(const struct policy *policy)
{
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct rule *rule = &policy->rules[i];
		if (rule->allow && rule_is_of_all(rule) &&
		    (rule_ports(rule) < PORTS_ALL || !denies_all(policy, rule_is_v4(rule))))
			return true;
	}
	return policy->base != BASE_INTERNAL && !denies_all(policy, true);
}

enum policy_name policy_name(const struct policy *policy, const char *name)
{
	struct reason best = {.ports = PORTS_ALL + 1};
	bool about = false;

	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct rule *rule = &policy->rules[i];
		/* Where some ports only are denied, the address is wanted for the others. */
		if (!rule_names(rule, name) || (!rule->allow && rule_ports(rule) < PORTS_ALL))
			continue;
		weigh(&best, reason_of(rule));
		about = true;
	}
	if (about)
		return best.allow ? NAME_ALLOWED : NAME_DENIED;
	return opens_names(policy) ? NAME_ANSWERED : NAME_CLOSED;
}

void policy_pin(struct policy *policy, const char *name, const struct in6_addr *address, uint32_t ttl_s, int64_t now)
{
	struct in6_addr inner;
	uint32_t seconds = ttl_s < PIN_SECONDS_LEAST ? PIN_SECONDS_LEAST : ttl_s;
	int64_t end = now + (seconds > PIN_SECONDS_MOST ? PIN_SECONDS_MOST : seconds) * INT64_C(1000);
	bool carries = range_inner(address, &inner);

	for (size_t i = 0; i < policy->rule_count; i++) {
		if (!rule_names(&policy->rules[i], name))
			continue;
		pins_add(&policy->pins, address, i, end);
		if (carries)
			pins_add(&policy->pins, &inner, i, end);
	}
}
