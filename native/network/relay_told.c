#include "relay_told.h"

#include "relay_flow.h"
#include "relay_machine.h"
#include "relay_publish.h"
#include "relay_verdict.h"

#include <stdio.h>
#include <string.h>

/* What the lines say, until all of them were read. */
struct saying {
	struct in6_addr hosts[MACHINE_HOSTS];
	size_t host_count;
	struct resolver resolvers[RESOLVERS_MOST];
	size_t resolver_count;
	struct policy *policy;
	struct names *names;
	bool asleep;
};

/* The rest of a line that begins with this word; NULL if it does not. */
static char *after(char *line, const char *word)
{
	size_t length = strlen(word);

	return strncmp(line, word, length) == 0 && line[length] == ' ' ? line + length + 1 : NULL;
}

static const char *read_hosts(struct saying *saying, char *rest)
{
	for (char *word; (word = strtok_r(rest, " ", &rest));) {
		if (saying->host_count == MACHINE_HOSTS)
			return "too many addresses";
		if (!address_read(word, &saying->hosts[saying->host_count++]))
			return "an address of the machine cannot be read";
	}
	return NULL;
}

static const char *read_resolvers(struct saying *saying, char *rest)
{
	for (char *word; (word = strtok_r(rest, " ", &rest));) {
		/* A host asks its first few, too. */
		if (saying->resolver_count == RESOLVERS_MOST)
			return NULL;
		if (!address_read(word, &saying->resolvers[saying->resolver_count++].host))
			return "an address of a name server cannot be read";
	}
	return NULL;
}

static const char *read_asleep(struct saying *saying, const char *rest)
{
	saying->asleep = strcmp(rest, "yes") == 0;
	return saying->asleep || strcmp(rest, "no") == 0 ? NULL : "a machine is asleep, yes or no";
}

static const char *read_line(struct saying *saying, char *line)
{
	char *rest;

	if ((rest = after(line, "address")))
		return read_hosts(saying, rest);
	if ((rest = after(line, "dns")))
		return read_resolvers(saying, rest);
	if ((rest = after(line, "asleep")))
		return read_asleep(saying, rest);
	return after(line, "name") ? names_line(saying->names, line) : policy_line(saying->policy, line);
}

static const char *read_lines(struct saying *saying, char *lines)
{
	const char *why = NULL;

	for (char *line; !why && (line = strtok_r(lines, "\n", &lines));)
		why = read_line(saying, line);
	return why;
}

static const char *adopt(struct machine *machine, struct saying *saying)
{
	if (!machine_take_hosts(machine, saying->hosts, saying->host_count))
		return "exists another machine has one of the addresses";
	if (machine->policy)
		policy_keep_pins(saying->policy, machine->policy);
	machine_take(machine, saying->policy, saying->names);
	saying->policy = NULL;
	saying->names = NULL;
	memcpy(machine->resolvers, saying->resolvers, sizeof machine->resolvers);
	machine->resolver_count = saying->resolver_count;
	machine->asleep = saying->asleep;
	flows_end(machine, verdict_still_allows);
	if (!machine->asleep)
		publications_wake(machine);
	return NULL;
}

static const char *tell(const char *key, struct saying *saying)
{
	struct machine *known = machine_of_key(key);
	struct machine *machine = known ? known : machine_add(key);

	if (!machine)
		return "limit too many machines";
	const char *why = adopt(machine, saying);
	if (why && !known)
		machine_remove(machine);
	return why;
}

static const char *read_all(const char *key, char *lines, struct saying *saying)
{
	if (!key_is_valid(key))
		return "a key of a machine is wanted";
	return lines ? read_lines(saying, lines) : NULL;
}

static const char *take(char *text, struct saying *saying)
{
	static char invalid[POLICY_RULE_TEXT];
	char *lines = text;
	const char *key = strsep(&lines, "\n");

	if (!saying->policy || !saying->names)
		return "limit no memory";
	const char *why = read_all(key, lines, saying);
	if (!why)
		return tell(key, saying);
	(void)snprintf(invalid, sizeof invalid, "invalid %s", why);
	return invalid;
}

const char *machine_is_told(char *text)
{
	struct saying saying = {.policy = policy_new(), .names = names_new()};
	const char *why = take(text, &saying);

	policy_free(saying.policy);
	names_free(saying.names);
	return why;
}
