/* Directories of the host, mounted in the guest. */
#ifndef BANGER_SHARE_H
#define BANGER_SHARE_H

#include "verbs.h"

/* SHARE: mounts them all; only once, for the whole life of the guest. */
void share(const struct request *request);

#endif
