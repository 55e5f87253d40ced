/* File systems that the user of a machine wants: tmpfs, and a root that nothing is written to. */
#ifndef BANGER_TMPFS_H
#define BANGER_TMPFS_H

#include "err.h"
#include "fields.h"

enum { TMPFS_TEXT_MAX = 4608 };

struct tmpfs_wish {
	char text[TMPFS_TEXT_MAX];
	unsigned long flags;
	const char *options, *path;
};

/* "FLAGS OPTIONS PATH": a number, what mount(2) calls data, and the rest. */
int tmpfs_parse(struct span value, struct tmpfs_wish *wish, struct err *err);
int tmpfs_mount_all(const struct fields *fields, struct err *err);
/* For what the agent itself has to write: the root is as it was until root_protect. */
void root_unprotect(void);
/* If the fields ask for it, or asked once. */
int root_protect(const struct fields *fields, struct err *err);

#endif
