#include "nodes.h"

#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BUCKETS_FIRST = 1024, LOOKED_THROUGH = 65536, GIVEN_UP_MOST = 16 };

bool nodes_open(struct nodes *nodes, uint64_t first)
{
	*nodes = (struct nodes){.buckets = BUCKETS_FIRST, .next = first, .most = NODES_MOST};
	nodes->root.number = FUSE_ROOT_ID;
	nodes->by_number = calloc(BUCKETS_FIRST, sizeof *nodes->by_number);
	nodes->by_identity = calloc(BUCKETS_FIRST, sizeof *nodes->by_identity);
	return nodes->by_number && nodes->by_identity;
}

void nodes_close(struct nodes *nodes)
{
	for (size_t i = 0; i < nodes->buckets; i++)
		for (struct node *node = nodes->by_number[i], *next; node; node = next) {
			next = node->next_number;
			free(node->name);
			free(node);
		}
	free(nodes->by_number);
	free(nodes->by_identity);
	*nodes = (struct nodes){0};
}

static size_t mix(uint64_t value)
{
	value *= UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(value >> 24);
}

static struct node **place_of_number(const struct nodes *nodes, uint64_t number)
{
	return &nodes->by_number[mix(number) & (nodes->buckets - 1)];
}

static struct node **place_of_identity(const struct nodes *nodes, const struct identity *identity)
{
	return &nodes->by_identity[mix(identity->inode ^ identity->device << 32) & (nodes->buckets - 1)];
}

static bool same(const struct identity *one, const struct identity *other)
{
	return one->inode == other->inode && one->device == other->device && one->born_ns == other->born_ns &&
	       one->kind == other->kind;
}

struct node *nodes_find(struct nodes *nodes, uint64_t number)
{
	if (number == FUSE_ROOT_ID)
		return &nodes->root;
	struct node *node = *place_of_number(nodes, number);
	while (node && node->number != number)
		node = node->next_number;
	return node;
}

struct node *nodes_find_identity(struct nodes *nodes, const struct identity *identity)
{
	struct node *node = *place_of_identity(nodes, identity);

	while (node && !same(&node->identity, identity))
		node = node->next_identity;
	return node;
}

static void put(struct node **place, struct node *node, struct node **next)
{
	*next = *place;
	*place = node;
}

/* Twice the buckets; without the memory for them the chains get longer. */
static void grow(struct nodes *nodes)
{
	struct nodes grown = {.buckets = 2 * nodes->buckets};

	grown.by_number = calloc(grown.buckets, sizeof *grown.by_number);
	grown.by_identity = calloc(grown.buckets, sizeof *grown.by_identity);
	if (!grown.by_number || !grown.by_identity) {
		free(grown.by_number);
		free(grown.by_identity);
		return;
	}
	for (size_t i = 0; i < nodes->buckets; i++)
		for (struct node *node = nodes->by_number[i], *next; node; node = next) {
			next = node->next_number;
			put(place_of_number(&grown, node->number), node, &node->next_number);
			if (node->is_there)
				put(place_of_identity(&grown, &node->identity), node, &node->next_identity);
		}
	free(nodes->by_number);
	free(nodes->by_identity);
	nodes->buckets = grown.buckets;
	nodes->by_number = grown.by_number;
	nodes->by_identity = grown.by_identity;
}

void nodes_remove(struct nodes *nodes, struct node *node)
{
	if (!node->is_there)
		return;
	struct node **place = place_of_identity(nodes, &node->identity);
	while (*place != node)
		place = &(*place)->next_identity;
	*place = node->next_identity;
	node->next_identity = NULL;
	node->is_there = false;
}

/* Frees the node if nothing needs it, and then perhaps those above it. */
static void drop(struct nodes *nodes, struct node *node)
{
	while (node && node != &nodes->root && !node->looked_up && !node->below && !node->handles) {
		struct node *parent = node->parent, **place = place_of_number(nodes, node->number);

		nodes_remove(nodes, node);
		while (*place != node)
			place = &(*place)->next_number;
		*place = node->next_number;
		nodes->count--;
		free(node->name);
		free(node);
		parent->below--;
		node = parent;
	}
}

void nodes_forget(struct nodes *nodes, uint64_t number, uint64_t times)
{
	struct node *node = nodes_find(nodes, number);

	if (!node || node == &nodes->root)
		return;
	node->looked_up -= times < node->looked_up ? times : node->looked_up;
	drop(nodes, node);
}

bool nodes_move(struct nodes *nodes, struct node *node, struct node *parent, const char *name)
{
	struct node *before = node->parent;

	if (node == &nodes->root || (before == parent && strcmp(node->name, name) == 0))
		return true;
	char *own_name = strdup(name);
	if (!own_name)
		return false;
	free(node->name);
	node->name = own_name;
	node->parent = parent;
	parent->below++;
	before->below--;
	drop(nodes, before);
	return true;
}

/* A node takes memory for as long as the kernel remembers it, and that is up to the guest. */
static bool give_one_up(struct nodes *nodes)
{
	for (size_t i = 0; i < nodes->buckets && i < LOOKED_THROUGH; i++) {
		struct node *node = nodes->by_number[nodes->hand];

		/* A process may be in a directory, and would not look for its name again. */
		while (node && (node->below || node->handles || node->identity.kind == S_IFDIR))
			node = node->next_number;
		nodes->hand = (nodes->hand + 1) & (nodes->buckets - 1);
		if (!node)
			continue;
		node->looked_up = 0;
		drop(nodes, node);
		return true;
	}
	return false;
}

/* One with a name of its own; NULL without memory. */
static struct node *allocate(const char *name)
{
	struct node *node = calloc(1, sizeof *node);
	char *own_name = strdup(name);

	if (node && own_name) {
		node->name = own_name;
		return node;
	}
	free(node);
	free(own_name);
	return NULL;
}

static struct node *add(struct nodes *nodes, struct node *parent, const char *name, const struct identity *identity)
{
	struct node *node = NULL;

	for (int tries = 0; tries < GIVEN_UP_MOST && !node; tries++) {
		bool is_room = nodes->count < nodes->most;

		if (is_room && tries == 0 && nodes->count >= nodes->buckets)
			grow(nodes);
		if (is_room)
			node = allocate(name);
		if (!node && !give_one_up(nodes))
			return NULL;
	}
	if (!node)
		return NULL;
	node->number = nodes->next++;
	node->identity = *identity;
	node->is_there = true;
	node->parent = parent;
	parent->below++;
	put(place_of_number(nodes, node->number), node, &node->next_number);
	put(place_of_identity(nodes, identity), node, &node->next_identity);
	nodes->count++;
	return node;
}

struct node *nodes_look_up(struct nodes *nodes, struct node *parent, const char *name, const struct identity *identity)
{
	struct node *node = nodes_find_identity(nodes, identity);

	if (!node)
		node = add(nodes, parent, name, identity);
	else if (!nodes_move(nodes, node, parent, name))
		return NULL;
	if (node)
		node->looked_up++;
	return node;
}

bool nodes_path(const struct nodes *nodes, const struct node *node, char path[PATH_MAX])
{
	size_t at = PATH_MAX - 1, depth = 0;

	if (node == &nodes->root)
		return strcpy(path, ".");
	path[at] = 0;
	/* Who moves directories on the host meanwhile can make two nodes lie below one another. */
	for (; node != &nodes->root; node = node->parent) {
		size_t length = strlen(node->name);

		if (length + 1 > at || ++depth > DEPTH_MOST)
			return false;
		at -= length;
		memcpy(path + at, node->name, length);
		if (node->parent != &nodes->root)
			path[--at] = '/';
	}
	memmove(path, path + at, PATH_MAX - at);
	return true;
}
