#include "relay_queue.h"

#include <stddef.h>

void list_open(struct list *list)
{
	list->ends.previous = list->ends.next = &list->ends;
}

void list_append(struct list *list, struct link *link)
{
	link->previous = list->ends.previous;
	link->next = &list->ends;
	link->previous->next = link;
	list->ends.previous = link;
}

void list_remove(struct link *link)
{
	if (!link->next)
		return;
	link->previous->next = link->next;
	link->next->previous = link->previous;
	link->previous = link->next = NULL;
}

struct link *list_first(const struct list *list)
{
	return list_after(list, &list->ends);
}

struct link *list_after(const struct list *list, const struct link *link)
{
	return link->next == &list->ends ? NULL : link->next;
}

void queue_open(struct queue *queue, int64_t limit_ms)
{
	list_open(&queue->list);
	queue->limit_ms = limit_ms;
}

void queue_join(struct queue *queue, struct timed *timed, int64_t now)
{
	list_remove(&timed->link);
	list_append(&queue->list, &timed->link);
	timed->since = now;
}

void queue_leave(struct timed *timed)
{
	list_remove(&timed->link);
}

struct timed *queue_expired(const struct queue *queue, int64_t now)
{
	struct link *first = list_first(&queue->list);

	if (!first)
		return NULL;
	struct timed *timed = LIST_OWNER(first, struct timed, link);
	return now - timed->since >= queue->limit_ms ? timed : NULL;
}

bool queue_is_empty(const struct queue *queue)
{
	return !list_first(&queue->list);
}
