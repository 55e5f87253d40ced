/* What all flows have in common, TCP and UDP, from a guest and into one: their machine, limits and time-outs.
 *
 * A flow is part of its machine's list and of at most one queue. It ends once: flow_end tells its owner, who closes
 * descriptors and calls flow_leave. */
#ifndef BANGER_RELAY_FLOW_H
#define BANGER_RELAY_FLOW_H

#include "relay_address.h"
#include "relay_loop.h"
#include "relay_machine.h"
#include "relay_queue.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FLOWS_MOST = 8192,
	FLOWS_OF_MACHINE = 1024,
	UDP_OF_MACHINE = 256,
	/* When so many flows are there, a machine gets no more than this: others want some, too. */
	FLOWS_MANY = 6144,
	FLOWS_OF_MACHINE_THEN = 256,
	/* Clients of published ports leave some flows to the guest. */
	INWARD_OF_MACHINE = 768,
	/* Each asks the keeper for a socket, and the keeper is there for all guests. */
	UDP_A_SECOND = 512,
};

/* An echo is asked about and told of as a flow is, and is none: nothing of it stays open. */
enum flow_kind { FLOW_TCP, FLOW_UDP, FLOW_ECHO };

enum flow_wait {
	WAIT_DIAL,        /* for the other side to accept */
	WAIT_AWAKE,       /* for the machine to wake up */
	WAIT_HALF_CLOSED, /* for bytes, when one side has sent all of its own */
	WAIT_DATAGRAM,    /* for datagrams */
	WAIT_NAME,        /* for the answer of a name server */
	WAIT_QUESTION,    /* for a question over TCP */
	WAITS
};

struct publication;

struct flow {
	struct mortal mortal;
	struct machine *machine;
	struct link of_machine;
	struct timed timed;
	enum flow_kind kind;
	bool ended;
	int64_t began;
	struct endpoint target;          /* where the guest wanted to go, or what of the guest is wanted */
	bool inward;                     /* from outside to a published port; the policy does not count */
	struct publication *publication; /* the port that its datagrams use; NULL for a flow that needs none any more */
	void (*end)(struct flow *flow);  /* closes the flow, with a reset for TCP */
	void (*expire)(struct flow *flow); /* its time is over; NULL: the flow ends */
};

/* Time-outs, in milliseconds for each enum flow_wait; descriptors that the process may have. */
void flows_open(const int64_t limits_ms[WAITS], unsigned long descriptors);

/* Whether the machine may have one more, `inward` or of the guest. Makes room by ending the UDP flow that was idle for
 * longest. */
bool flow_may_begin(struct machine *machine, enum flow_kind kind, bool inward);

void flow_begin(struct flow *flow, struct machine *machine, enum flow_kind kind, bool inward);

/* The end that flow_end and owners share: the flow is no longer counted or listed, and freed by the loop. */
void flow_leave(struct flow *flow);

void flow_end(struct flow *flow);
void flow_wait(struct flow *flow, enum flow_wait wait);
void flow_wait_no_more(struct flow *flow);

/* Something was said: the flow's time begins anew. */
void flow_touch(struct flow *flow, enum flow_wait wait);

/* Ends all flows of a machine that `wanted` does not want, or all for NULL. */
void flows_end(struct machine *machine, bool (*wanted)(const struct flow *flow));

/* Ends flows whose time is over. True: others wait. */
bool flows_expire(void);

unsigned flows_count(void);

/* Bytes of a socket's buffer in the kernel for a flow of this machine; 0: as the kernel likes. */
int flow_buffer(const struct machine *machine);

#endif
