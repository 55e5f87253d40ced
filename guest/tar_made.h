/* The directories that an extraction has made, and what the archive said of each last: it may have one twice, or after
 * what lies in it. Those that were there before are not among them, and stay as they are. */
#ifndef BANGER_TAR_MADE_H
#define BANGER_TAR_MADE_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

struct tar_made {
	dev_t device;
	ino_t inode;
	bool taken, said;
	mode_t mode;
	struct timespec mtime;
};

/* Good until the next one is added. NULL with errno. */
struct tar_made *tar_made_add(int fd);
/* NULL: it was not made here. */
struct tar_made *tar_made_find(int fd);
void tar_made_clear(void);

#endif
