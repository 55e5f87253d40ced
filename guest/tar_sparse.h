/* Sparse files in tar archives: where in the file the data lie that the archive has. Reads the forms
 * that GNU tar and bsdtar write: GNU's own header, and the versions 0.0, 0.1 and 1.0 of the pax form. */
#ifndef BANGER_TAR_SPARSE_H
#define BANGER_TAR_SPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tar.h"

#define TAR_SPARSE "GNU.sparse."

struct tar_stretch {
	int64_t offset, length;
};

/* Of the file that comes next. All zeros: it is not sparse. */
struct tar_sparse {
	struct tar_given size, real_size, major, minor, blocks; /* as records say */
	struct tar_given pending; /* an offset that waits for its length */
	bool listed;              /* one record had the whole map */
	size_t count, room;
	struct tar_stretch *stretches;
	int64_t length; /* of the file with its holes, once the map is known */
};

void tar_sparse_clear(struct tar_sparse *sparse);
/* Takes a pax record; key is what follows TAR_SPARSE. False if it is malformed, or changes in an unknown way
 * what the data mean. */
bool tar_sparse_record(struct tar_sparse *sparse, struct span key, struct span value);
/* These two read the map, from GNU's own header and the blocks that go on with it, or as records say, which
 * may be in front of the data. *stored is how many bytes of data there are, in the end without the map. False
 * if the map is malformed, does not fit the data, or the archive ends too early. */
bool tar_sparse_header(struct tar_sparse *sparse, const struct tar_header *header, int64_t stored);
bool tar_sparse_map(struct tar_sparse *sparse, int64_t *stored);
/* Whether records describe a sparse file. */
bool tar_sparse_given(const struct tar_sparse *sparse);

#endif
