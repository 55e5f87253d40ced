/* The process between the guest's kernel and the host's server of directories: it carries whole requests and answers and
 * reads hardly more of them than their lengths. It is no part of the agent's loop, for the agent itself may wait for a file
 * of the host. */
#ifndef BANGER_SHARE_PUMP_H
#define BANGER_SHARE_PUMP_H

#include <sys/types.h>

enum { SHARES_MAX = 32 };

struct share_mount {
	int fuse; /* of /dev/fuse */
	uid_t user; /* whom the files of the host's user belong to */
	gid_t group;
};

/* Never returns. `way` leads to the server; from `mounted` come the numbers of the mounts that are made, a byte
 * each. The process owns all of these descriptors. */
_Noreturn void share_pump(const struct share_mount *mounts, size_t count, int way, int mounted);

#endif
