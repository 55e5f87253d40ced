/* What a policy allows: rules, closed ranges, forms of addresses, names and pins, and what cannot be read. */
#include "../policy.h"

#include "../pins.h"
#include "../ranges.h"
#include "../words.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static struct in6_addr own[4];
static struct policy_host host = {.own = own};

static struct in6_addr address_of(const char *text)
{
	struct in6_addr address;

	assert(word_is_address(text, &address));
	return address;
}

/* Lines end in a newline. */
static struct policy *policy_of(const char *lines)
{
	struct policy *policy = policy_new();
	char line[400];

	assert(policy);
	for (; *lines; lines += strcspn(lines, "\n") + 1) {
		snprintf(line, sizeof line, "%.*s", (int)strcspn(lines, "\n"), lines);
		assert(!policy_line(policy, line));
	}
	return policy;
}

static struct verdict ask(const struct policy *policy, const char *address, uint16_t port)
{
	struct in6_addr asked = address_of(address);

	return policy_judge(policy, &host, &asked, port, 0);
}

static bool opens(const char *lines, const char *address, uint16_t port)
{
	struct policy *policy = policy_of(lines);
	bool allowed = ask(policy, address, port).allowed;

	policy_free(policy);
	return allowed;
}

static bool closes(const char *lines, const char *address, uint16_t port, const char *rule)
{
	struct policy *policy = policy_of(lines);
	struct verdict verdict = ask(policy, address, port);
	bool so = !verdict.allowed && !verdict.to_loopback && strcmp(verdict.rule, rule) == 0;

	if (!so)
		fprintf(stderr, "%s: %d, %s\n", address, verdict.allowed, verdict.rule);
	policy_free(policy);
	return so;
}

static void test_nothing_said_is_nothing_allowed(void)
{
	assert(closes("", "93.184.216.34", 443, "closed internal"));
	assert(closes("", "2606:4700::1", 443, "closed internal"));
	assert(closes("", "10.213.0.1", 80, "closed host-loopback"));
}

static void test_bases(void)
{
	assert(opens("base internet\n", "93.184.216.34", 443));
	assert(opens("base internet\n", "192.0.2.1", 80)); /* documentation ranges are not closed */
	assert(opens("base internet\n", "198.18.0.1", 80));
	assert(closes("base internet\n", "10.1.2.3", 80, "closed private 10.0.0.0/8"));
	assert(closes("base internet\n", "fd12::1", 80, "closed private fc00::/7"));
	assert(closes("base internet\n", "203.0.113.9", 80, "closed own-address"));
	assert(opens("base lan\n", "10.1.2.3", 80) && opens("base lan\n", "100.64.0.1", 1));
	assert(opens("base lan\n", "fd12::1", 80));
	assert(closes("base lan\n", "192.168.7.1", 80, "closed own-address"));
	assert(closes("base lan\n", "169.254.169.254", 80, "closed link-local 169.254.0.0/16"));
	assert(closes("base lan\n", "fd00:ec2::254", 80, "closed metadata fd00:ec2::254/128"));
	assert(closes("base lan\n", "100.100.100.200", 80, "closed metadata 100.100.100.200/32"));
	assert(closes("base host\n", "169.254.169.254", 80, "closed link-local 169.254.0.0/16"));
	assert(closes("base host\n", "127.0.0.1", 80, "closed loopback 127.0.0.0/8"));
	assert(opens("base host\n", "192.168.7.1", 80) && opens("base host\n", "203.0.113.9", 80));
	assert(opens("base lan\nbase internet\n", "1.1.1.1", 1));
	assert(!opens("base lan\nbase internet\n", "10.1.1.1", 1));
}

static void test_the_gateway_is_the_loopback_of_the_host(void)
{
	const char *const gateways[] = {"10.213.0.1", "fd62:616e:6765::1"};

	for (int i = 0; i < 2; i++) {
		struct policy *policy = policy_of("base host\n");
		struct verdict verdict = ask(policy, gateways[i], 8080);
		assert(verdict.allowed && verdict.to_loopback);
		assert(!policy_line(policy, "deny host.banger.internal 8080"));
		assert(!ask(policy, gateways[i], 8080).allowed && ask(policy, gateways[i], 8081).allowed);
		policy_free(policy);
		policy = policy_of("base internet\nallow host.banger.internal 8080-8081\n");
		assert(ask(policy, gateways[i], 8081).to_loopback && !ask(policy, gateways[i], 8082).allowed);
		policy_free(policy);
		assert(closes("base lan\nallow *.internal\nallow *.banger.internal 80\n", gateways[i], 80, "closed host-loopback"));
		assert(closes("base host\ndeny *.internal\n", gateways[i], 80, "deny *.internal"));
		assert(closes("base lan\nallow 10.0.0.0/8\nallow fc00::/7\n", gateways[i], 80, "closed host-loopback"));
	}
	assert(opens("base internet\nallow 10.213.0.1 8080\n", "10.213.0.1", 8080));
	/* Nothing but the gateway itself leads to the loopback. */
	struct policy *policy = policy_of("base host\n");
	assert(!ask(policy, "2002:ad5:1::1", 80).to_loopback);
	policy_free(policy);
}

static void test_the_most_specific_rule_counts(void)
{
	const char *nested = "base internet\ndeny 1.0.0.0/8\nallow 1.2.0.0/16\ndeny 1.2.3.0/24\nallow 1.2.3.4\n";

	assert(closes(nested, "1.1.1.1", 80, "deny 1.0.0.0/8"));
	assert(opens(nested, "1.2.1.1", 80));
	assert(closes(nested, "1.2.3.5", 80, "deny 1.2.3.0/24"));
	assert(opens(nested, "1.2.3.4", 80));
	assert(closes("base internet\nallow 1.2.3.4\ndeny 1.2.3.4\n", "1.2.3.4", 80, "deny 1.2.3.4"));
	assert(closes("base internet\ndeny 1.2.3.4\nallow 1.2.3.4\n", "1.2.3.4", 80, "deny 1.2.3.4"));
	assert(opens("base internet\ndeny 1.2.3.4\nallow 1.2.3.4 80\n", "1.2.3.4", 80));
	assert(!opens("base internet\ndeny 1.2.3.4\nallow 1.2.3.4 80\n", "1.2.3.4", 81));
	assert(opens("base internet\ndeny 1.2.3.4 1-1000\nallow 1.2.3.4 80-90\n", "1.2.3.4", 85));
	assert(!opens("base internet\ndeny 1.2.3.4 1-1000\nallow 1.2.3.4 80-90\n", "1.2.3.4", 91));
	assert(opens("base internet\ndeny 1.2.3.4 1-1000\n", "1.2.3.4", 1001));
	assert(opens("base internal\nallow 1.2.3.4 443\n", "1.2.3.4", 443));
	assert(closes("base internal\nallow 1.2.3.4 443\n", "1.2.3.4", 80, "closed internal"));
}

static bool answers(const char *lines, const char *address)
{
	struct policy *policy = policy_of(lines);
	struct in6_addr asked = address_of(address);
	bool allowed = policy_judge_echo(policy, &host, &asked, 0).allowed;

	policy_free(policy);
	return allowed;
}

static void test_an_echo_goes_where_any_port_is_open(void)
{
	assert(answers("base internet\n", "1.2.3.4") && answers("base internet\n", "2606::1"));
	assert(!answers("base internet\n", "10.1.2.3") && !answers("base internet\n", "203.0.113.9"));
	assert(!answers("", "1.2.3.4") && !answers("base internet\n", "64:ff9b::10.1.2.3"));
	assert(answers("base internal\nallow 1.2.3.4 443\n", "1.2.3.4"));
	assert(!answers("base internal\nallow 1.2.3.4 443\n", "1.2.3.5"));
	assert(answers("base internet\ndeny 1.2.3.4 1-65534\n", "1.2.3.4"));
	assert(answers("base internet\ndeny 1.2.3.4 2-65535\n", "1.2.3.4"));
	assert(answers("base internet\ndeny 1.2.3.4 1-1000\ndeny 1.2.3.4 1002-65535\n", "1.2.3.4"));
	assert(!answers("base internet\ndeny 1.2.3.4 1-65535\n", "1.2.3.4"));
	assert(!answers("base internet\ndeny 0.0.0.0/0\n", "1.2.3.4"));
}

static void test_a_rule_opens_a_closed_range_only_if_it_lies_within(void)
{
	assert(!opens("base internet\nallow 0.0.0.0/0\n", "10.1.2.3", 80));
	assert(!opens("base internal\nallow 0.0.0.0/0\n", "192.168.1.1", 80));
	assert(opens("base internal\nallow 0.0.0.0/0\n", "1.1.1.1", 80));
	assert(opens("base internet\nallow 10.0.0.0/8\n", "10.1.2.3", 80));
	assert(opens("base internet\nallow 169.254.169.254 80\n", "169.254.169.254", 80));
	assert(!opens("base internet\nallow fd00::/8\n", "fd00:ec2::254", 80));
	assert(!opens("base internet\nallow 192.168.7.0/24\n", "192.168.7.1", 80)); /* the host's own */
	assert(opens("base internet\nallow 192.168.7.1\n", "192.168.7.1", 80));
	assert(!opens("base host\nallow 127.0.0.1\n", "127.0.0.1", 80));
	assert(!opens("base host\nallow ::1\n", "::1", 80) && !opens("base host\nallow ::\n", "::", 80));
	assert(!opens("base host\nallow 0.0.0.0\n", "0.0.0.0", 80));
}

static void test_an_address_within_an_address_is_judged(void)
{
	const char *const forms[] = {
		"::ffff:%1$s", "::%1$s", "::ffff:0:%1$s", "64:ff9b::%1$s", "2002:%2$s::1", "2001::%3$s"};
	const struct {
		const char *address, *hex, *inverted;
		bool allowed;
	} cases[] = {
		{"127.0.0.1", "7f00:1", "80ff:fffe", false},	 {"10.1.2.3", "a01:203", "f5fe:fdfc", false},
		{"169.254.169.254", "a9fe:a9fe", "5601:5601", false}, {"192.168.7.1", "c0a8:701", "3f57:f8fe", false},
		{"203.0.113.9", "cb00:7109", "34ff:8ef6", false}, {"8.8.8.8", "808:808", "f7f7:f7f7", true},
	};

	for (size_t form = 0; form < sizeof forms / sizeof *forms; form++)
		for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
			char text[64];
			snprintf(text, sizeof text, forms[form], cases[i].address, cases[i].hex, cases[i].inverted);
			assert(opens("base internet\n", text, 80) == cases[i].allowed);
			/* A denied prefix of IPv6 is denied, whatever is inside. */
			assert(!opens("base internet\ndeny ::/0\n", text, 80) || form == 0);
			assert(!opens("base internet\ndeny 8.8.8.0/24\n", text, 80));
		}
	assert(!opens("base internal\nallow 64:ff9b::/96\n", "64:ff9b::8.8.8.8", 80));
	assert(opens("base internal\nallow 64:ff9b::/96\nallow 8.8.8.8\n", "64:ff9b::8.8.8.8", 80));
	assert(opens("base internet\ndeny ::/0\n", "8.8.8.8", 80) && opens("base internet\ndeny 0.0.0.0/0\n", "2606::1", 1));
	assert(closes("base lan\n", "64:ff9b:1::8.8.8.8", 80, "closed translated 64:ff9b:1::/48"));
}

static void pin(struct policy *policy, const char *name, const char *address, uint32_t ttl_s, int64_t now)
{
	struct in6_addr pinned = address_of(address);

	policy_pin(policy, name, &pinned, ttl_s, now);
}

static bool opens_at(const struct policy *policy, const char *address, uint16_t port, int64_t now)
{
	struct in6_addr asked = address_of(address);

	return policy_judge(policy, &host, &asked, port, now).allowed;
}

static void test_pins(void)
{
	struct policy *policy = policy_of("base internal\nallow pypi.org 443\nallow *.Example.com\ndeny x.example.com 25\n");

	pin(policy, "pypi.org", "1.2.3.4", 5, 1000);
	pin(policy, "other.org", "1.2.3.5", 300, 1000);
	pin(policy, "a.example.com", "1.2.3.6", 120, 1000);
	pin(policy, "example.com", "1.2.3.7", 120, 1000);
	pin(policy, "x.example.com", "1.2.3.8", 120, 1000);
	assert(opens_at(policy, "1.2.3.4", 443, 60999) && !opens_at(policy, "1.2.3.4", 443, 61000));
	assert(!opens_at(policy, "1.2.3.4", 80, 1001));
	assert(!opens_at(policy, "1.2.3.5", 443, 1001));
	assert(opens_at(policy, "1.2.3.6", 80, 120999) && !opens_at(policy, "1.2.3.6", 80, 121000));
	assert(!opens_at(policy, "1.2.3.7", 80, 1001));
	assert(opens_at(policy, "1.2.3.8", 80, 1001) && !opens_at(policy, "1.2.3.8", 25, 1001));
	pin(policy, "pypi.org", "1.2.3.4", 300, 2000);
	pin(policy, "pypi.org", "1.2.3.4", 60, 3000); /* the longest counts */
	assert(opens_at(policy, "1.2.3.4", 443, 301999));
	pin(policy, "pypi.org", "1.2.3.9", UINT32_MAX, 0);
	assert(opens_at(policy, "1.2.3.9", 443, 86399999) && !opens_at(policy, "1.2.3.9", 443, 86400000));
	pin(policy, "pypi.org", "64:ff9b::1.2.3.10", 60, 0);
	assert(opens_at(policy, "64:ff9b::1.2.3.10", 443, 1));
	policy_free(policy);
}

static void test_a_name_does_not_lead_where_names_must_not(void)
{
	const char *const never[] = {
		"127.0.0.1", "::1", "0.0.0.0", "::", "169.254.169.254", "fe80::1", "fd00:ec2::254", "203.0.113.9",
		"192.168.7.1", "10.213.0.1", "fd62:616e:6765::1", "224.0.0.251", "255.255.255.255", "100.100.100.200",
		"::ffff:127.0.0.1", "64:ff9b::169.254.169.254", "2002:7f00:1::", "::127.0.0.1", "fd20:ce::254"};
	const char *const bases[] = {"base internet\n", "base lan\n", "base internal\n"};

	for (size_t base = 0; base < 3; base++)
		for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
			struct policy *policy = policy_of(bases[base]);
			assert(!policy_line(policy, "allow rebound.example"));
			pin(policy, "rebound.example", never[i], 300, 0);
			assert(!opens_at(policy, never[i], 80, 1));
			pin(policy, "rebound.example", "10.1.2.3", 300, 0);
			assert(opens_at(policy, "10.1.2.3", 80, 1));
			policy_free(policy);
		}
}

static void test_pins_are_bounded_and_survive_a_change_with_their_rule(void)
{
	struct policy *policy = policy_of("allow a.example\nallow b.example\n");

	for (int i = 0; i < 3 * POLICY_PINS_MOST; i++) {
		char text[32];
		snprintf(text, sizeof text, "1.%d.%d.1", i / 256, i % 256);
		pin(policy, i % 2 ? "a.example" : "b.example", text, 100 + (uint32_t)i, 0);
	}
	assert(!opens_at(policy, "1.0.0.1", 80, 1));
	assert(!opens_at(policy, "1.7.255.1", 80, 1) && opens_at(policy, "1.8.0.1", 80, 1)); /* 2047, 2048 */
	assert(opens_at(policy, "1.11.254.1", 80, 1) && opens_at(policy, "1.11.255.1", 80, 1));
	struct policy *changed = policy_of("deny 9.9.9.9\nallow B.example\n");
	policy_keep_pins(changed, policy);
	policy_free(policy);
	assert(opens_at(changed, "1.11.254.1", 80, 1) && !opens_at(changed, "1.11.255.1", 80, 1));
	policy_free(changed);
	policy_free(NULL);
}

static void test_names(void)
{
	const struct {
		const char *lines, *name;
		enum policy_name verdict;
	} cases[] = {
		{"base internet\n", "a.example", NAME_ANSWERED},
		{"base internet\n", "", NAME_ANSWERED},
		{"base internal\n", "a.example", NAME_CLOSED},
		{"base internal\nallow a.example 443\n", "a.example", NAME_ALLOWED},
		{"base internal\nallow a.example\n", "b.a.example", NAME_CLOSED},
		{"base internal\nallow a.example\n", "ba.example", NAME_CLOSED},
		{"base internal\nallow *.a.example\n", "c.b.a.example", NAME_ALLOWED},
		{"base internal\nallow *.a.example\n", "a.example", NAME_CLOSED},
		{"base internal\nallow *.a.example\n", ".a.example", NAME_CLOSED},
		{"base internal\nallow *.a.example\n", "xa.example", NAME_CLOSED},
		{"base internal\nallow *.a.example\ndeny b.a.example\n", "b.a.example", NAME_DENIED},
		{"base internal\nallow *.a.example\ndeny *.b.a.example\n", "c.b.a.example", NAME_DENIED},
		{"base internet\ndeny *.a.example\nallow b.a.example\n", "b.a.example", NAME_ALLOWED},
		{"base internet\ndeny a.example\nallow a.example 443\n", "a.example", NAME_ALLOWED},
		{"base internet\ndeny a.example\nallow a.example\n", "a.example", NAME_DENIED},
		{"base internet\ndeny a.example 25\n", "a.example", NAME_ANSWERED},
		{"base internal\ndeny a.example 25\n", "a.example", NAME_CLOSED},
		{"base internet\ndeny 0.0.0.0/0\n", "a.example", NAME_CLOSED},
		{"base host\ndeny 0.0.0.0/0\nallow a.example\n", "b.example", NAME_CLOSED},
		{"base internet\ndeny 0.0.0.0/0 25\n", "a.example", NAME_ANSWERED},
		{"base internet\ndeny 0.0.0.0/0\nallow ::/0\n", "a.example", NAME_ANSWERED},
		{"base internet\ndeny 0.0.0.0/0\nallow 0.0.0.0/0\n", "a.example", NAME_CLOSED},
		{"base internal\nallow 0.0.0.0/0 443\n", "a.example", NAME_ANSWERED},
		{"base internal\nallow 1.2.3.4\n", "a.example", NAME_CLOSED},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct policy *policy = policy_of(cases[i].lines);
		if (policy_name(policy, cases[i].name) != cases[i].verdict)
			fprintf(stderr, "%s%s\n", cases[i].lines, cases[i].name);
		assert(policy_name(policy, cases[i].name) == cases[i].verdict);
		policy_free(policy);
	}
}

static void test_lines_that_are_wrong(void)
{
	const char *const wrong[] = {
		"", "base", "base ", "base world", "base lan lan", "bases lan", "allow", "allow ", "permit 1.2.3.4",
		"allow 1.2.3.4 80 90", "allow 1.2.3.4 65536", "allow 1.2.3.4 -1", "allow 1.2.3.4 80-", "allow 1.2.3.4 90-80",
		"allow 1.2.3.4 080000", "allow 1.2.3.4 8x", "allow 1.2.3.4/33", "allow 1.2.3.4/24", "allow 1.2.3/24",
		"allow 1.2.3", "allow 1.2.3.256", "allow 0x7f.1", "allow ::1/129", "allow fe80::1/10", "allow fe80::1%eth0",
		"allow [::1]", "allow *", "allow *.", "allow *.*.example", "allow a..example", "allow a.example.",
		"allow .example", "allow ex*mple", "allow a b c d", "allow a_b/24", "allow \xc3\xa9.example", "allow a\tb",
		"allow a.example 1,2", "allow 1.2.3.4/", "allow 1.2.3.4/+8", "allow 2130706433",
		"allow aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg.example"};
	struct policy *policy = policy_new();
	char line[2 * POLICY_RULE_TEXT];

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		if (!policy_line(policy, wrong[i])) {
			fprintf(stderr, "taken: %s\n", wrong[i]);
			assert(false);
		}
	memset(line, 'a', sizeof line);
	memcpy(line, "allow ", 6);
	line[sizeof line - 1] = 0;
	assert(policy_line(policy, line));
	for (int i = 0; i < POLICY_RULES_MOST; i++) {
		snprintf(line, sizeof line, "  Allow   1.2.3.%d   80-90 ", i % 256);
		assert(!policy_line(policy, line));
	}
	assert(policy_line(policy, "allow 1.2.4.0"));
	assert(!policy_line(policy, "base internet"));
	assert(ask(policy, "1.2.3.4", 85).allowed);
	policy_free(policy);
}

int main(void)
{
	host.gateway_v4 = address_of("10.213.0.1");
	host.gateway_v6 = address_of("fd62:616e:6765::1");
	own[host.own_count++] = address_of("192.168.7.1");
	own[host.own_count++] = address_of("203.0.113.9");
	own[host.own_count++] = address_of("127.0.0.1");
	test_nothing_said_is_nothing_allowed();
	test_bases();
	test_the_gateway_is_the_loopback_of_the_host();
	test_an_echo_goes_where_any_port_is_open();
	test_the_most_specific_rule_counts();
	test_a_rule_opens_a_closed_range_only_if_it_lies_within();
	test_an_address_within_an_address_is_judged();
	test_pins();
	test_a_name_does_not_lead_where_names_must_not();
	test_pins_are_bounded_and_survive_a_change_with_their_rule();
	test_names();
	test_lines_that_are_wrong();
	puts("ok: policies");
	return 0;
}
