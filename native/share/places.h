/* Where a file is on the host: an open directory and a name in it. No link is ever followed on the way, and no way leads
 * out of the mount. */
#ifndef BANGER_SHARE_PLACES_H
#define BANGER_SHARE_PLACES_H

#include "share.h"

#include <sys/stat.h>

struct place {
	int directory;
	const char *name;
	bool owned; /* the directory is to be closed */
};

#define AUTO_PLACE __attribute__((cleanup(place_leave))) struct place

/* These return 0 or an errno. */

/* The place of a node under the name that is known. */
int place_of(struct mount *mount, const struct node *node, struct place *place);
/* A name in the directory that is a node. */
int place_below(struct mount *mount, const struct node *parent, const char *name, struct place *place);
void place_leave(struct place *place);

int place_look(const struct place *place, struct statx *found);
/* Looks at the file of the node: by its name, if the same file is there still, or else by an open handle, whose descriptor
 * is then in `*descriptor` (else -1). ESTALE: the file cannot be reached. */
int node_look(struct mount *mount, struct node *node, struct place *place, int *descriptor, struct statx *found);
/* As node_look, where only a name will do. */
int node_place(struct mount *mount, struct node *node, struct place *place, struct statx *found);
/* Opens the node's file, which is a file with contents or a directory. A descriptor, or minus an errno. */
int node_open(struct mount *mount, struct node *node, int flags, struct statx *found);

int look_at(int descriptor, struct statx *found);
struct identity identity_of(const struct statx *found);

#endif
