#include "rule.h"

#include "ranges.h"
#include "words.h"

#include <string.h>

/* An exact name is more specific than any pattern, and a pattern than any prefix. */
enum { RANK_PATTERN = 1000, RANK_NAME = 2000, PORT_LAST = 65535 };

static bool read_number(const char *text, unsigned most, unsigned *value)
{
	*value = 0;
	if (!*text || strlen(text) > 5)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		*value = *value * 10 + (unsigned)(*text - '0');
	}
	return *value <= most;
}

static bool read_ports(struct rule *rule, char *text)
{
	unsigned first, last;
	char *dash = strchr(text, '-');

	if (dash)
		*dash = 0;
	if (!read_number(text, PORT_LAST, &first) || !read_number(dash ? dash + 1 : text, PORT_LAST, &last))
		return false;
	rule->first_port = (uint16_t)first;
	rule->last_port = (uint16_t)last;
	return first <= last;
}

/* No bit is set behind the prefix. */
static bool is_network(const struct in6_addr *network, unsigned prefix)
{
	for (unsigned bit = prefix; bit < 128; bit++)
		if (network->s6_addr[bit / 8] & 0x80 >> bit % 8)
			return false;
	return true;
}

static bool read_network(struct rule *rule, char *text)
{
	unsigned most, prefix;
	char *slash = strchr(text, '/');

	if (slash)
		*slash = 0;
	if (!word_is_address(text, &rule->network))
		return false;
	most = strchr(text, ':') ? 128 : 32;
	prefix = most;
	if (slash && !read_number(slash + 1, most, &prefix))
		return false;
	rule->prefix = (uint8_t)(prefix + 128 - most);
	return is_network(&rule->network, rule->prefix);
}

static bool read_name(struct rule *rule, const char *word)
{
	const char *name = strncmp(word, "*.", 2) == 0 ? word + 2 : word;

	rule->named = true;
	rule->below = name != word;
	rule->name_at = (uint16_t)(strchr(rule->text, ' ') + 1 - rule->text + (name - word));
	rule->name_length = (uint16_t)strlen(name);
	return word_is_name(name);
}

const char *rule_read(struct rule *rule, const char *line)
{
	struct words words;
	char *target;

	memset(rule, 0, sizeof *rule);
	if (!words_read(&words, line) || words.count < 2 || words.count > 3)
		return "a rule has two or three words";
	if (!words_join(&words, rule->text, sizeof rule->text))
		return "a rule is too long";
	rule->allow = strcmp(words.at[0], "allow") == 0;
	if (!rule->allow && strcmp(words.at[0], "deny") != 0)
		return "a rule begins with allow or deny";
	rule->last_port = PORT_LAST;
	if (words.count == 3 && strcmp(words.at[2], "*") != 0 && !read_ports(rule, words.at[2]))
		return "a wrong port or range of ports";
	target = words.at[1];
	if (word_looks_like_address(target) ? !read_network(rule, target) : !read_name(rule, target))
		return "neither a range of addresses nor a name";
	return NULL;
}

bool rule_names(const struct rule *rule, const char *name)
{
	size_t length = strlen(name);
	const char *end;

	if (!rule->named || length < rule->name_length)
		return false;
	end = name + length - rule->name_length;
	if (memcmp(end, rule->text + rule->name_at, rule->name_length) != 0)
		return false;
	return rule->below ? end > name + 1 && end[-1] == '.' : end == name;
}

unsigned rule_rank(const struct rule *rule)
{
	if (!rule->named)
		return rule->prefix;
	return rule->below ? RANK_PATTERN + rule->name_length : RANK_NAME;
}

unsigned rule_ports(const struct rule *rule)
{
	return (unsigned)rule->last_port - rule->first_port + 1;
}

bool rule_has_port(const struct rule *rule, uint16_t port)
{
	return rule->first_port <= port && port <= rule->last_port;
}

bool rule_is_v4(const struct rule *rule)
{
	return !rule->named && rule->prefix >= 96 && IN6_IS_ADDR_V4MAPPED(&rule->network);
}

bool rule_is_of_all(const struct rule *rule)
{
	return !rule->named && rule->prefix == (rule_is_v4(rule) ? 96 : 0);
}
