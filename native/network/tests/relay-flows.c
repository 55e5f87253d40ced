/* How many flows there may be: of one machine, of all, and who makes room for whom. */
#include "relay_flow.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { DESCRIPTORS = 1 << 20, FEW_DESCRIPTORS = 192 + 2 * 100 };

static const int64_t times[WAITS] = {1000, 1000, 1000, 1000, 1000, 1000};
static unsigned ended;

static void end(struct flow *flow)
{
	ended++;
	flow_leave(flow);
}

static struct flow *try(struct machine *machine, enum flow_kind kind, bool inward)
{
	if (!flow_may_begin(machine, kind, inward))
		return NULL;
	struct flow *flow = calloc(1, sizeof *flow);
	assert(flow);
	flow->end = end;
	flow_begin(flow, machine, kind, inward);
	flow_wait(flow, kind == FLOW_UDP ? WAIT_DATAGRAM : WAIT_DIAL);
	return flow;
}

static unsigned try_many(struct machine *machine, enum flow_kind kind, bool inward, unsigned most)
{
	unsigned count = 0;

	while (count < most && try(machine, kind, inward))
		count++;
	return count;
}

static void clear(struct machine **machines, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		flows_end(machines[i], NULL);
		assert(machines[i]->tcp_count == 0 && machines[i]->udp_count == 0 && machines[i]->inward_count == 0);
		machines[i]->udp_begun = 0;
	}
	assert(flows_count() == 0);
	ended = 0;
}

static void test_one_machine(struct machine *machine)
{
	assert(try_many(machine, FLOW_TCP, false, 5000) == FLOWS_OF_MACHINE);
	clear(&machine, 1);
	assert(try_many(machine, FLOW_TCP, true, 5000) == INWARD_OF_MACHINE);
	assert(try_many(machine, FLOW_TCP, false, 5000) == FLOWS_OF_MACHINE - INWARD_OF_MACHINE);
	clear(&machine, 1);
}

static void test_the_longest_idle_makes_room(struct machine *machine)
{
	struct flow *first = try(machine, FLOW_UDP, false);

	assert(first);
	assert(try_many(machine, FLOW_UDP, false, UDP_OF_MACHINE - 1) == UDP_OF_MACHINE - 1);
	flow_touch(first, WAIT_DATAGRAM);
	assert(try_many(machine, FLOW_UDP, false, UDP_OF_MACHINE - 1) == UDP_OF_MACHINE - 1);
	assert(!first->ended && ended == UDP_OF_MACHINE - 1);
	assert(try(machine, FLOW_UDP, false) && first->ended);
	assert(machine->udp_count == UDP_OF_MACHINE);
	clear(&machine, 1);
}

static void test_a_flood_of_one_is_slowed(struct machine *machine)
{
	assert(try_many(machine, FLOW_UDP, false, 5000) == UDP_A_SECOND);
	clear(&machine, 1);
}

static void test_all_machines(struct machine **machines, size_t count)
{
	struct machine *last = machines[count - 1];
	unsigned total = 0;

	for (size_t i = 0; i < 6; i++)
		total += try_many(machines[i], FLOW_TCP, false, 5000);
	assert(total == FLOWS_MANY);
	/* Those who come late still get some, and nobody gets more. */
	assert(!try(machines[0], FLOW_TCP, false));
	for (size_t i = 6; i < count - 1; i++)
		total += try_many(machines[i], FLOW_TCP, false, 5000);
	assert(total == FLOWS_MOST);
	assert(machines[6]->tcp_count == FLOWS_OF_MACHINE_THEN);
	/* All are taken: of UDP, the longest idle of all would go, and there is none. */
	assert(!try(last, FLOW_TCP, false) && !try(last, FLOW_UDP, false));
	flow_end(LIST_OWNER(list_first(&machines[0]->tcp), struct flow, of_machine));
	struct flow *datagrams = try(last, FLOW_UDP, false);
	assert(datagrams && !datagrams->ended && flows_count() == FLOWS_MOST);
	assert(!try(last, FLOW_TCP, false));
	assert(try(last, FLOW_UDP, false) && datagrams->ended && flows_count() == FLOWS_MOST);
	clear(machines, count);
}

static void test_few_descriptors(struct machine *machine)
{
	flows_open(times, FEW_DESCRIPTORS);
	assert(try_many(machine, FLOW_TCP, false, 5000) == 100);
	clear(&machine, 1);
	flows_open(times, 10);
	assert(!try(machine, FLOW_TCP, false));
	flows_open(times, DESCRIPTORS);
}

int main(void)
{
	struct machine *machines[15];
	const size_t count = sizeof machines / sizeof *machines;
	char key[] = "vm-a";

	assert(loop_open());
	machines_open();
	flows_open(times, DESCRIPTORS);
	for (size_t i = 0; i < count; i++, key[3]++)
		assert((machines[i] = machine_add(key)));
	test_one_machine(machines[0]);
	test_the_longest_idle_makes_room(machines[0]);
	test_a_flood_of_one_is_slowed(machines[0]);
	test_all_machines(machines, count);
	test_few_descriptors(machines[0]);
	puts("ok: the limits of flows");
	return 0;
}
