/* Sparse files in tar archives: where in the file the data lie that the archive has. Reads the forms
 * that GNU tar and bsdtar write: GNU's own header, and the versions 0.0, 0.1 and 1.0 of the pax form. */
#ifndef BANGER_TAR_SPARSE_H
#define BANGER_TAR_SPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tar.h"

struct tar_stretch {
	int64_t offset, length;
};

/* Of the file that comes next. All zeros: it is not sparse. */
struct tar_sparse {
	int64_t real_size, pending; /* pending: an offset that waits for its length */
	int64_t major;              /* of the pax form: its map lies before the data */
	size_t count, room;
	struct tar_stretch *stretches;
	bool given, malformed;
};

void tar_sparse_clear(struct tar_sparse *sparse);
/* Takes a pax record whose key begins with "GNU.sparse.", but for the name. */
void tar_sparse_record(struct tar_sparse *sparse, const char *key, size_t key_length, const char *value,
		       size_t value_length);
/* Reads the map that GNU's own header has, with the blocks that go on with it. False if the archive
 * ends too early. */
bool tar_sparse_header(struct tar_sparse *sparse, const struct tar_header *header);
/* Reads the map before the data where there is one; *stored is what remains of the data after it. False
 * if the archive ends too early. */
bool tar_sparse_map(struct tar_sparse *sparse, int64_t *stored);
/* Whether the map is one of a file whose data come to that many bytes. */
bool tar_sparse_fits(const struct tar_sparse *sparse, int64_t stored);

#endif
