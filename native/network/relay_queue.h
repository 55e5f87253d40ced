/* Things that time out after the same time each, the longest idle first. */
#ifndef BANGER_RELAY_QUEUE_H
#define BANGER_RELAY_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

/* A place in a list; part of what is listed. In no list while `next` is NULL. */
struct link {
	struct link *previous, *next;
};

/* The list is a ring with this as its beginning and end. */
struct list {
	struct link ends;
};

#define LIST_OWNER(link, type, member) ((type *)(void *)((char *)(link) - offsetof(type, member)))

void list_open(struct list *list);
void list_append(struct list *list, struct link *link);

/* Nothing happens to a link in no list. */
void list_remove(struct link *link);

/* NULL: the list is empty. */
struct link *list_first(const struct list *list);

/* NULL: the link is the last. */
struct link *list_after(const struct list *list, const struct link *link);

struct queue {
	struct list list;
	int64_t limit_ms;
};

struct timed {
	struct link link;
	int64_t since;
};

void queue_open(struct queue *queue, int64_t limit_ms);

/* Moves to the end of this queue, whichever queue it was in. */
void queue_join(struct queue *queue, struct timed *timed, int64_t now);
void queue_leave(struct timed *timed);

/* The first, if its time is over; NULL otherwise. */
struct timed *queue_expired(const struct queue *queue, int64_t now);
bool queue_is_empty(const struct queue *queue);

#endif
