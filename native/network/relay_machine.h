/* Machines as they were told: their addresses, their policy, what is counted for them. Owns the table of them. */
#ifndef BANGER_RELAY_MACHINE_H
#define BANGER_RELAY_MACHINE_H

#include "names.h"
#include "policy.h"
#include "relay_address.h"
#include "relay_loop.h"
#include "relay_queue.h"
#include "resolvers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MACHINES_MOST = 4096, KEY_LENGTH = 64, MACHINE_HOSTS = 4 };

/* What events told of a machine and held back, see relay_events.h. */
struct told {
	int64_t second;     /* the second that `count` is of */
	unsigned count;     /* events in it */
	unsigned held_back; /* denied dials that no event has told yet; the rest is of the last of them */
	const char *protocol;
	struct endpoint target;
	char rule[POLICY_RULE_TEXT];
	int64_t knocked; /* when the last knock was told */
};

/* An address of a machine, in the table by address. */
struct machine_host {
	struct in6_addr host;
	struct machine *machine;
	struct machine_host *next;
};

struct machine {
	struct mortal mortal;
	struct link link;
	char key[KEY_LENGTH + 1];
	struct machine_host hosts[MACHINE_HOSTS];
	size_t host_count;
	struct policy *policy;
	struct names *names;
	struct resolver resolvers[RESOLVERS_MOST]; /* none: those of the host */
	size_t resolver_count;
	bool asleep;
	struct list tcp, udp; /* flows; of `udp` the longest idle is the first */
	unsigned tcp_count, udp_count, inward_count;
	int64_t udp_second; /* the second that `udp_begun` is of */
	unsigned udp_begun; /* UDP flows that began in it */
	uint64_t opened, refused, denied, sent, received;
	struct told told;
};

void machines_open(void);

/* NULL: there is none. */
struct machine *machine_of_key(const char *key);
struct machine *machine_of_host(const struct in6_addr *host);

/* NULL: no memory, or too many. */
struct machine *machine_add(const char *key);

/* Its flows and publications have ended. */
void machine_remove(struct machine *machine);

/* False, with nothing changed: another machine has one of the addresses. */
bool machine_take_hosts(struct machine *machine, const struct in6_addr *hosts, size_t count);

/* In place of what it had. */
void machine_take(struct machine *machine, struct policy *policy, struct names *names);

/* The first for NULL; NULL after the last. */
struct machine *machine_after(const struct machine *machine);

/* Letters, digits, '.', '_' and '-', at most KEY_LENGTH. */
bool key_is_valid(const char *key);

#endif
