#include "oom_record.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A record is "LEVEL,NUMBER,TIME,FLAGS[,...];MESSAGE\n", then lines of KEY=VALUE. LEVEL contains the
 * facility, times 8: programs may write to the log too, but never with the kernel's, which is 0. */
static const char *kernel_message(const char *record)
{
	const char *end;

	if (record[0] < '0' || record[0] > '7' || record[1] != ',')
		return NULL;
	end = strchr(record, ';');
	return end ? end + 1 : NULL;
}

/* Other messages of the kernel quote what anybody may choose, names of control groups for instance. */
static bool tells_of_memory(const char *message)
{
	static const char *const beginnings[] = { "Out of memory", "Memory cgroup out of memory" };

	for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
		if (strncmp(message, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	return false;
}

/* "(NAME) total-vm:...": the name may contain anything, parentheses too, what follows has none. */
static bool parse_name(const char *at, char name[OOM_NAME_SIZE])
{
	size_t length = strcspn(at, "\n");

	if (*at++ != '(')
		return false;
	for (length--; length && at[length - 1] != ')'; length--)
		;
	if (!length--)
		return false;
	if (length >= OOM_NAME_SIZE)
		length = OOM_NAME_SIZE - 1;
	memcpy(name, at, length);
	name[length] = 0;
	return true;
}

bool oom_record_parse(const char *record, struct oom_victim *victim)
{
	static const char killed[] = ": Killed process ";
	const char *at = kernel_message(record);
	char *end;
	long pid;

	if (!at || !tells_of_memory(at))
		return false;
	at = strstr(at, killed);
	if (!at)
		return false;
	at += sizeof killed - 1;
	pid = strtol(at, &end, 10);
	if (*at < '1' || *at > '9' || pid > INT32_MAX || *end != ' ')
		return false;
	victim->pid = (pid_t)pid;
	return parse_name(end + 1, victim->name);
}

void oom_describe(const struct oom_victim *victim, unsigned count, char text[OOM_TEXT_SIZE])
{
	char who[32 + OOM_NAME_SIZE] = "a process", others[32] = "";

	if (victim->pid)
		snprintf(who, sizeof who, "process %d (%s)", (int)victim->pid, victim->name);
	if (count > 1)
		snprintf(others, sizeof others, ", and %u before", count - 1);
	snprintf(text, OOM_TEXT_SIZE, "killed %s for lack of memory%s", who, others);
}
