/* Files and directories that a guest has open. */
#ifndef BANGER_SHARE_HANDLES_H
#define BANGER_SHARE_HANDLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HANDLES_MOST = 16384 };

struct node;

/* `descriptor` -1: the handle is free. */
struct handle {
	int descriptor;
	bool is_directory;
	struct node *node;
	struct handle *next; /* of the node */
	int64_t position;    /* of a directory: where the next entry is read */
	size_t free_next;
};

struct handles {
	struct handle **all; /* never move: nodes point to them */
	size_t count, room, first_free;
	uint32_t session; /* numbers of an earlier server do not mean handles of this one */
};

void handles_open(struct handles *handles, uint32_t session);
void handles_close(struct handles *handles);

/* Keeps the descriptor, and gives the number of its handle; closes the descriptor and returns false if there are too
 * many. */
bool handles_add(struct handles *handles, int descriptor, bool is_directory, struct node *node, uint64_t *number);
/* NULL: not a handle, or one of another node or kind. */
struct handle *handles_find(struct handles *handles, uint64_t number, const struct node *node, bool is_directory);
void handles_remove(struct handles *handles, uint64_t number, const struct node *node, bool is_directory);

#endif
