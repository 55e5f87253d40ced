#include "relay_machine.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 256 };

static struct list all;
static size_t count;
static struct machine_host *by_host[BUCKETS];

void machines_open(void)
{
	list_open(&all);
}

bool key_is_valid(const char *key)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t length = strspn(key, letters);

	return length > 0 && length <= KEY_LENGTH && !key[length];
}

struct machine *machine_after(const struct machine *machine)
{
	struct link *link = machine ? list_after(&all, &machine->link) : list_first(&all);

	return link ? LIST_OWNER(link, struct machine, link) : NULL;
}

struct machine *machine_of_key(const char *key)
{
	for (struct machine *machine = NULL; (machine = machine_after(machine));)
		if (strcmp(machine->key, key) == 0)
			return machine;
	return NULL;
}

static struct machine_host **bucket_of(const struct in6_addr *host)
{
	return &by_host[address_hash(host) % BUCKETS];
}

struct machine *machine_of_host(const struct in6_addr *host)
{
	for (struct machine_host *one = *bucket_of(host); one; one = one->next)
		if (address_same(&one->host, host))
			return one->machine;
	return NULL;
}

static void drop_hosts(struct machine *machine)
{
	for (size_t i = 0; i < machine->host_count; i++) {
		struct machine_host **one = bucket_of(&machine->hosts[i].host);
		while (*one != &machine->hosts[i])
			one = &(*one)->next;
		*one = machine->hosts[i].next;
	}
	machine->host_count = 0;
}

bool machine_take_hosts(struct machine *machine, const struct in6_addr *hosts, size_t given)
{
	for (size_t i = 0; i < given; i++) {
		const struct machine *other = machine_of_host(&hosts[i]);
		if (other && other != machine)
			return false;
	}
	drop_hosts(machine);
	for (size_t i = 0; i < given; i++) {
		struct machine_host **bucket = bucket_of(&hosts[i]);
		machine->hosts[i] = (struct machine_host){.host = hosts[i], .machine = machine, .next = *bucket};
		*bucket = &machine->hosts[i];
	}
	machine->host_count = given;
	return true;
}

struct machine *machine_add(const char *key)
{
	struct machine *machine = count < MACHINES_MOST ? calloc(1, sizeof *machine) : NULL;

	if (!machine)
		return NULL;
	(void)strncpy(machine->key, key, KEY_LENGTH);
	list_open(&machine->tcp);
	list_open(&machine->udp);
	list_append(&all, &machine->link);
	count++;
	return machine;
}

void machine_take(struct machine *machine, struct policy *policy, struct names *names)
{
	policy_free(machine->policy);
	names_free(machine->names);
	machine->policy = policy;
	machine->names = names;
}

void machine_remove(struct machine *machine)
{
	drop_hosts(machine);
	list_remove(&machine->link);
	count--;
	machine_take(machine, NULL, NULL);
	loop_free(&machine->mortal);
}
