/* File descriptors that close themselves at the end of their scope. They start at -1. */
#ifndef BANGER_FD_H
#define BANGER_FD_H

#include <errno.h>
#include <unistd.h>

static inline void fd_close(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
	}
	*fd = -1;
}

/* Hands the descriptor to the caller; the variable no longer owns it. */
static inline int fd_take(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

#define AUTO_FD __attribute__((cleanup(fd_close))) int

#endif
