/* Extended attributes in tar archives: those that mean the same everywhere, which are those of users, and
 * capabilities of programs. The others belong to the system that they come from. */
#ifndef BANGER_TAR_XATTR_H
#define BANGER_TAR_XATTR_H

#include <stdbool.h>
#include <stddef.h>

#include "fields.h"

#define TAR_XATTR "SCHILY.xattr."
#define TAR_CODED_XATTR "LIBARCHIVE.xattr."

/* Of the file that comes next. */
struct tar_xattr {
	struct tar_xattr *next;
	char *value;
	size_t length;
	char name[];
};

void tar_xattr_clear(struct tar_xattr **list);
/* Takes a pax record; name is what follows TAR_XATTR in its key. Of several with one name the last counts, and
 * an empty value is one. False if no attribute can have that name, or there is no memory for it. */
bool tar_xattr_record(struct tar_xattr **list, struct span name, struct span value);
/* The same of libarchive's record, whose name and value are coded. Mostly it stands beside the other, which
 * counts. */
bool tar_xattr_coded_record(struct tar_xattr **list, struct span name, struct span value);
/* Gives them to the file. -1 with errno. */
int tar_xattr_set(int fd, const struct tar_xattr *list);
/* Appends a pax record for each that the file has. -1 with errno. */
int tar_xattr_put(int fd, char *text, size_t size, size_t *used);

#endif
