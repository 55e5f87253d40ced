#include "relay_verdict.h"

#include "relay_dns.h"
#include "relay_events.h"
#include "relay_host.h"

static struct endpoint loopback_of(const struct endpoint *target)
{
	struct endpoint loopback = {.port = target->port, .host = IN6ADDR_LOOPBACK_INIT};

	if (address_is_v4(&target->host))
		(void)address_read("127.0.0.1", &loopback.host);
	return loopback;
}

static struct verdict judge(const struct machine *machine, enum flow_kind kind, const struct endpoint *target)
{
	const struct policy_host *host = host_about(&target->host);

	if (kind == FLOW_ECHO)
		return policy_judge_echo(machine->policy, host, &target->host, loop_now());
	return policy_judge(machine->policy, host, &target->host, target->port, loop_now());
}

bool verdict_allows(struct machine *machine, enum flow_kind kind, const struct endpoint *target, struct endpoint *dialed)
{
	struct verdict verdict = judge(machine, kind, target);

	*dialed = verdict.to_loopback ? loopback_of(target) : *target;
	if (verdict.allowed)
		return true;
	machine->denied++;
	events_denied(machine, kind, target, verdict.rule);
	return false;
}

bool verdict_still_allows(const struct flow *flow)
{
	const struct endpoint *target = &flow->target;

	if (flow->inward || target->port == DNS_PORT)
		return true;
	return policy_judge(flow->machine->policy, host_about(&target->host), &target->host, target->port, flow->began).allowed;
}
