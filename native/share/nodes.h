/* The files that a guest's kernel knows, by the numbers that it calls them.
 *
 * A node is one file of the host, by device, inode, kind and time of birth, and the name under which it was seen last. The
 * file is looked for under that name each time, so that nothing is held open; who uses a node compares what it finds. */
#ifndef BANGER_SHARE_NODES_H
#define BANGER_SHARE_NODES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NODES_MOST = 2 * 1024 * 1024, DEPTH_MOST = PATH_MAX / 2 };

struct identity {
	/* Not every file system knows when a file was born, and an inode may come again as a file of another kind. */
	uint64_t device, inode, born_ns, kind;
};

struct handle;

/* Freed when the kernel has forgotten it and no node lies below it. */
struct node {
	uint64_t number, looked_up, below;
	struct identity identity;
	bool is_there; /* found by its identity; false once the guest removed the file */
	struct node *parent;
	char *name;
	struct node *next_number, *next_identity;
	struct handle *handles; /* open ones, which lead to the file when no name does */
};

struct nodes {
	struct node root;
	struct node **by_number, **by_identity;
	size_t buckets, count, most;
	uint64_t next;
	size_t hand; /* of the bucket where it is looked next for a node to give up */
};

/* Numbers begin at `first`: those of an earlier server must not come again. False: no memory. */
bool nodes_open(struct nodes *nodes, uint64_t first);
void nodes_close(struct nodes *nodes);

/* NULL: the kernel does not know that number, or knows it from an earlier server. */
struct node *nodes_find(struct nodes *nodes, uint64_t number);
struct node *nodes_find_identity(struct nodes *nodes, const struct identity *identity);
/* The node of a file that was found under this name, looked up once more. Where there are too many, that of another file
 * which is not open is given up: the kernel finds it stale, and looks for its name again. NULL: there is none of these. */
struct node *nodes_look_up(struct nodes *nodes, struct node *parent, const char *name, const struct identity *identity);
void nodes_forget(struct nodes *nodes, uint64_t number, uint64_t times);
/* The file is under this name from now on. False: no memory, and the old name stays. */
bool nodes_move(struct nodes *nodes, struct node *node, struct node *parent, const char *name);
/* The file has no name any more; a new file may get its inode. */
void nodes_remove(struct nodes *nodes, struct node *node);

/* The path of a node below the root, "." for the root itself. False if it is too long. */
bool nodes_path(const struct nodes *nodes, const struct node *node, char path[PATH_MAX]);

#endif
