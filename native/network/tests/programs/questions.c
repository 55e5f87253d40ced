/* A policy that is asked by another program: it reads lines, and answers each with a line.
 *
 *     new                          a new policy, and a host without addresses
 *     own ADDRESS                  an address of the host
 *     base ..., allow ..., deny ...  as policy_line; `ok`, or `wrong` and why
 *     pin NAME ADDRESS SECONDS NOW
 *     judge ADDRESS PORT NOW       `allowed`, `loopback`, or `denied` and the rule
 *     name NAME                    `answered`, `allowed`, `denied` or `closed`
 *     range NUMBER                 `local`, `sensitive` or `never` and the range's text; `none` behind the last
 */
#include "../../policy.h"

#include "../../ranges.h"
#include "../../words.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 1024, OWN_MOST = 64 };

static struct in6_addr own[OWN_MOST];
static struct policy_host host = {.own = own};
static struct policy *policy;

static struct in6_addr address_of(const char *text)
{
	struct in6_addr address;

	assert(word_is_address(text, &address));
	return address;
}

static void judge(const char *text, uint16_t port, int64_t now)
{
	struct in6_addr address = address_of(text);
	struct verdict verdict = policy_judge(policy, &host, &address, port, now);

	if (verdict.allowed)
		puts(verdict.to_loopback ? "loopback" : "allowed");
	else
		printf("denied %s\n", verdict.rule);
}

static void pin(const char *name, const char *text, uint32_t ttl_s, int64_t now)
{
	struct in6_addr address = address_of(text);

	policy_pin(policy, name, &address, ttl_s, now);
	puts("ok");
}

static void tell_range(size_t place)
{
	static const char *const kinds[] = {
		[RANGE_LOCAL] = "local", [RANGE_SENSITIVE] = "sensitive", [RANGE_NEVER] = "never"};
	const struct closed_range *range = range_at(place);

	if (range)
		printf("%s %s\n", kinds[range->kind], range->text);
	else
		puts("none");
}

static void take(const char *line)
{
	const char *wrong = policy_line(policy, line);

	if (wrong)
		printf("wrong: %s\n", wrong);
	else
		puts("ok");
}

static void answer(const char *line)
{
	static const char *const verdicts[] = {
		[NAME_ANSWERED] = "answered", [NAME_ALLOWED] = "allowed", [NAME_DENIED] = "denied", [NAME_CLOSED] = "closed"};
	char name[LINE], address[LINE];
	unsigned number;
	int64_t now;

	if (strcmp(line, "new") == 0) {
		policy_free(policy);
		policy = policy_new();
		assert(policy);
		host.own_count = 0;
		puts("ok");
	} else if (sscanf(line, "own %s", address) == 1 && host.own_count < OWN_MOST) {
		own[host.own_count++] = address_of(address);
		puts("ok");
	} else if (sscanf(line, "pin %s %s %u %" SCNd64, name, address, &number, &now) == 4) {
		pin(name, address, number, now);
	} else if (sscanf(line, "judge %s %u %" SCNd64, address, &number, &now) == 3) {
		judge(address, (uint16_t)number, now);
	} else if (sscanf(line, "name %s", name) == 1) {
		puts(verdicts[policy_name(policy, name)]);
	} else if (sscanf(line, "range %u", &number) == 1) {
		tell_range(number);
	} else {
		take(line);
	}
}

int main(void)
{
	char line[LINE];

	host.gateway_v4 = address_of("10.213.0.1");
	host.gateway_v6 = address_of("fd62:616e:6765::1");
	policy = policy_new();
	assert(policy);
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = 0;
		answer(line);
	}
	policy_free(policy);
	return 0;
}
