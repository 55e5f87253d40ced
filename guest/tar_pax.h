/* What extended headers say about the entry that comes next: records of pax, and GNU's long names. Pure. */
#ifndef BANGER_TAR_PAX_H
#define BANGER_TAR_PAX_H

#include <stdbool.h>
#include <time.h>

#include "fields.h"
#include "tar.h"
#include "tar_sparse.h"
#include "tar_xattr.h"

/* All zeros: nothing was said. Records are those of the last header that had any: those of several are not
 * added up. Long names have headers of their own, and stand beside them. */
struct tar_pax {
	char *long_name, *long_link;
	char *name, *link;
	char *sparse_name; /* of a sparse file: name is one for programs that do not know of those */
	struct tar_given size, uid, gid, major, minor;
	bool has_mtime;
	struct timespec mtime;
	struct tar_sparse sparse;
	struct tar_xattr *xattrs;
	bool pending; /* there was a header, and no entry yet */
};

void tar_pax_clear(struct tar_pax *pax);
/* Takes the contents of a header of type x, X, L or K. False if they are malformed. */
bool tar_pax_take(struct tar_pax *pax, char type, struct span contents);
/* The name and the link's target that were given, which become the caller's; NULL if none was. */
char *tar_pax_name(struct tar_pax *pax, bool sparse);
char *tar_pax_link(struct tar_pax *pax);

#endif
