#include "relay_flow.h"

#include <stdlib.h>

enum {
	DESCRIPTORS_OF_FLOW = 2,
	DESCRIPTORS_BESIDE = 192, /* of the relay itself: control, keeper, publications, stock */
	FLOWS_WITH_FREE_BUFFERS = 16,
	FLOWS_WITH_LARGE_BUFFERS = 128,
	LARGE_BUFFER = 128 << 10,
	SMALL_BUFFER = 16 << 10,
};

static struct queue queues[WAITS];
static unsigned count, most;

void flows_open(const int64_t limits_ms[WAITS], unsigned long descriptors)
{
	unsigned long room = descriptors > DESCRIPTORS_BESIDE ? (descriptors - DESCRIPTORS_BESIDE) / DESCRIPTORS_OF_FLOW : 0;

	for (size_t i = 0; i < WAITS; i++)
		queue_open(&queues[i], limits_ms[i]);
	most = room < FLOWS_MOST ? (unsigned)room : FLOWS_MOST;
}

unsigned flows_count(void)
{
	return count;
}

static struct flow *oldest_of(struct machine *machine)
{
	struct link *link = list_first(&machine->udp);

	return link ? LIST_OWNER(link, struct flow, of_machine) : NULL;
}

static struct flow *oldest_of_all(void)
{
	struct link *link = list_first(&queues[WAIT_DATAGRAM].list);

	return link ? LIST_OWNER(link, struct flow, timed.link) : NULL;
}

static bool end_one(struct flow *flow)
{
	if (flow)
		flow_end(flow);
	return flow != NULL;
}

/* Counts one more UDP flow of this second. */
static bool is_too_fast(struct machine *machine)
{
	int64_t second = loop_now() / 1000;

	if (machine->udp_second != second) {
		machine->udp_second = second;
		machine->udp_begun = 0;
	}
	return ++machine->udp_begun > UDP_A_SECOND;
}

bool flow_may_begin(struct machine *machine, enum flow_kind kind, bool inward)
{
	unsigned share = count < FLOWS_MANY ? FLOWS_OF_MACHINE : FLOWS_OF_MACHINE_THEN;

	if (kind == FLOW_UDP && is_too_fast(machine))
		return false;
	if (inward && machine->inward_count >= INWARD_OF_MACHINE)
		return false;
	if (kind == FLOW_UDP && machine->udp_count >= UDP_OF_MACHINE)
		return end_one(oldest_of(machine));
	if (machine->tcp_count + machine->udp_count >= share)
		return kind == FLOW_UDP && end_one(oldest_of(machine));
	if (count < most)
		return true;
	return kind == FLOW_UDP && (end_one(oldest_of(machine)) || end_one(oldest_of_all()));
}

void flow_begin(struct flow *flow, struct machine *machine, enum flow_kind kind, bool inward)
{
	flow->machine = machine;
	flow->kind = kind;
	flow->inward = inward;
	flow->began = loop_now();
	if (kind == FLOW_TCP) {
		list_append(&machine->tcp, &flow->of_machine);
		machine->tcp_count++;
	} else {
		list_append(&machine->udp, &flow->of_machine);
		machine->udp_count++;
	}
	machine->inward_count += inward;
	machine->opened++;
	count++;
}

void flow_leave(struct flow *flow)
{
	flow->ended = true;
	queue_leave(&flow->timed);
	list_remove(&flow->of_machine);
	if (flow->kind == FLOW_TCP)
		flow->machine->tcp_count--;
	else
		flow->machine->udp_count--;
	flow->machine->inward_count -= flow->inward;
	count--;
	loop_free(&flow->mortal);
}

void flow_end(struct flow *flow)
{
	if (!flow->ended)
		flow->end(flow);
}

void flow_wait(struct flow *flow, enum flow_wait wait)
{
	queue_join(&queues[wait], &flow->timed, loop_now());
}

void flow_wait_no_more(struct flow *flow)
{
	queue_leave(&flow->timed);
}

void flow_touch(struct flow *flow, enum flow_wait wait)
{
	flow_wait(flow, wait);
	if (flow->kind != FLOW_UDP)
		return;
	list_remove(&flow->of_machine);
	list_append(&flow->machine->udp, &flow->of_machine);
}

static void end_those(struct list *list, bool (*wanted)(const struct flow *flow))
{
	struct link *link = list_first(list);

	while (link) {
		struct flow *flow = LIST_OWNER(link, struct flow, of_machine);
		link = list_after(list, link);
		if (!wanted || !wanted(flow))
			flow_end(flow);
	}
}

void flows_end(struct machine *machine, bool (*wanted)(const struct flow *flow))
{
	end_those(&machine->tcp, wanted);
	end_those(&machine->udp, wanted);
}

static void expire(struct flow *flow)
{
	if (flow->expire)
		flow->expire(flow);
	else
		flow_end(flow);
}

bool flows_expire(void)
{
	bool waiting = false;

	for (size_t i = 0; i < WAITS; i++) {
		struct timed *timed;
		while ((timed = queue_expired(&queues[i], loop_now())))
			expire(LIST_OWNER(timed, struct flow, timed));
		waiting = waiting || !queue_is_empty(&queues[i]);
	}
	return waiting;
}

int flow_buffer(const struct machine *machine)
{
	unsigned flows = machine->tcp_count + machine->udp_count;

	if (flows <= FLOWS_WITH_FREE_BUFFERS)
		return 0;
	return flows <= FLOWS_WITH_LARGE_BUFFERS ? LARGE_BUFFER : SMALL_BUFFER;
}
