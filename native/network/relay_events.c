#include "relay_events.h"

#include "relay_control.h"

#include <stdio.h>
#include <string.h>

enum { EVENTS_A_SECOND = 10, KNOCK_MS = 1000, EVENT_LENGTH = KEY_LENGTH + ADDRESS_TEXT + POLICY_RULE_TEXT + 64 };

static void tell_denied(struct machine *machine)
{
	struct told *told = &machine->told;
	char event[EVENT_LENGTH], address[ADDRESS_TEXT];
	int length = snprintf(event, sizeof event, "denied %s %s %s %u %s %u", machine->key, told->protocol,
			      address_write(&told->target.host, address), told->target.port, told->rule, told->held_back);

	told->count++;
	told->held_back = 0;
	control_tell(event, (size_t)length);
}

static bool may_tell(struct told *told)
{
	int64_t second = loop_now() / 1000;

	if (told->second != second) {
		told->second = second;
		told->count = 0;
	}
	return told->count < EVENTS_A_SECOND;
}

void events_denied(struct machine *machine, enum flow_kind kind, const struct endpoint *target, const char *rule)
{
	static const char *const protocols[] = {[FLOW_TCP] = "tcp", [FLOW_UDP] = "udp", [FLOW_ECHO] = "icmp"};
	struct told *told = &machine->told;

	told->held_back++;
	told->protocol = protocols[kind];
	told->target = *target;
	(void)snprintf(told->rule, sizeof told->rule, "%s", rule);
	if (may_tell(told))
		tell_denied(machine);
}

void events_knock(struct machine *machine)
{
	char event[KEY_LENGTH + 16];

	if (machine->told.knocked != 0 && loop_now() - machine->told.knocked < KNOCK_MS)
		return;
	machine->told.knocked = loop_now();
	control_tell(event, (size_t)snprintf(event, sizeof event, "knock %s", machine->key));
}

bool events_reach(const struct machine *machine, uint16_t port, int client)
{
	char event[KEY_LENGTH + 16];
	int length = snprintf(event, sizeof event, "reach %s %u", machine->key, port);

	return control_hand(event, (size_t)length, client);
}

bool events_tick(void)
{
	bool more = false;

	for (struct machine *machine = NULL; (machine = machine_after(machine));) {
		if (machine->told.held_back == 0)
			continue;
		if (may_tell(&machine->told))
			tell_denied(machine);
		else
			more = true;
	}
	return more;
}
