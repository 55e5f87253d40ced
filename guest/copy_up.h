/* The first use of an empty volume: it gets the files that the image has at its place, and their owner. */
#ifndef BANGER_COPY_UP_H
#define BANGER_COPY_UP_H

#include "err.h"

/* `hidden` is the directory that the volume mounted at `path` hides. A copy that was broken off begins
 * anew with the next mount; a volume that has files of its own stays as it is. */
int copy_up(int hidden, const char *path, struct err *err);

#endif
