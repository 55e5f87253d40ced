/* What every part of the server of directories knows: the directories, and the numbers that bound a guest. */
#ifndef BANGER_SHARE_H
#define BANGER_SHARE_H

#include "handles.h"
#include "nodes.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	MOUNTS_MOST = 32,
	/* Most bytes that one request reads or writes. */
	DATA_MOST = 256 * 1024,
	/* A whole message of the kernel: its headers, and the data. */
	MESSAGE_MOST = DATA_MOST + 4096,
};

/* One directory (or one file) of the host, and what the guest has open of it. `directory` and `name` lead to its root: the
 * name is "." unless the root is a file. Files of the server's user belong to `guest_user` and `guest_group` there. */
struct mount {
	int directory;
	const char *name;
	bool is_file, read_only;
	uint64_t device; /* of the root: what is on others gets other inode numbers */
	uint32_t guest_user, guest_group;
	struct nodes nodes;
	struct handles handles;
};

/* Opens what is at the path as the root of a mount. False with errno. */
bool mount_open(struct mount *mount, char *path, bool read_only);
void mount_close(struct mount *mount);

#endif
