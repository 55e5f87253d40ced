#include "handles.h"

#include "nodes.h"

#include <stdlib.h>
#include <unistd.h>

enum { NO_HANDLE = HANDLES_MOST };

void handles_open(struct handles *handles, uint32_t session)
{
	*handles = (struct handles){.first_free = NO_HANDLE, .session = session};
}

void handles_close(struct handles *handles)
{
	for (size_t i = 0; i < handles->count; i++) {
		if (handles->all[i]->descriptor >= 0)
			close(handles->all[i]->descriptor);
		free(handles->all[i]);
	}
	free(handles->all);
	*handles = (struct handles){0};
}

/* The index of a free handle, NO_HANDLE if there is none. */
static size_t take_free(struct handles *handles)
{
	size_t at = handles->first_free;

	if (at != NO_HANDLE) {
		handles->first_free = handles->all[at]->free_next;
		return at;
	}
	if (handles->count == HANDLES_MOST)
		return NO_HANDLE;
	if (handles->count == handles->room) {
		size_t room = handles->room ? 2 * handles->room : 64;
		struct handle **all = realloc(handles->all, room * sizeof *all);
		if (!all)
			return NO_HANDLE;
		handles->all = all;
		handles->room = room;
	}
	handles->all[handles->count] = calloc(1, sizeof **handles->all);
	return handles->all[handles->count] ? handles->count++ : NO_HANDLE;
}

bool handles_add(struct handles *handles, int descriptor, bool is_directory, struct node *node, uint64_t *number)
{
	size_t at = take_free(handles);

	if (at == NO_HANDLE) {
		close(descriptor);
		return false;
	}
	*handles->all[at] =
		(struct handle){.descriptor = descriptor, .is_directory = is_directory, .node = node, .next = node->handles};
	node->handles = handles->all[at];
	*number = (uint64_t)handles->session << 32 | at;
	return true;
}

struct handle *handles_find(struct handles *handles, uint64_t number, const struct node *node, bool is_directory)
{
	size_t at = (uint32_t)number;

	if (number >> 32 != handles->session || at >= handles->count)
		return NULL;
	struct handle *handle = handles->all[at];
	return handle->descriptor >= 0 && handle->node == node && handle->is_directory == is_directory ? handle : NULL;
}

void handles_remove(struct handles *handles, uint64_t number, const struct node *node, bool is_directory)
{
	struct handle *handle = handles_find(handles, number, node, is_directory);

	if (!handle)
		return;
	close(handle->descriptor);
	handle->descriptor = -1;
	struct handle **place = &handle->node->handles;
	while (*place != handle)
		place = &(*place)->next;
	*place = handle->next;
	handle->free_next = handles->first_free;
	handles->first_free = (uint32_t)number;
}
