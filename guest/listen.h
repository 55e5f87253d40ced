/* Sockets of the guest whose connections go to a client of the host. */
#ifndef BANGER_LISTEN_H
#define BANGER_LISTEN_H

#include <stddef.h>

enum { LISTENERS_MAX = 2, LISTEN_READY_MAX = 256 };

struct listeners {
	size_t count;
	int fds[LISTENERS_MAX];
	char ready[LISTEN_READY_MAX]; /* what the host is told: the port, or the path */
};

/* Closes them, and removes what they are in the file system. */
void listeners_close(struct listeners *listeners);
/* Carries connections until stdin ends, or until the host wants no more and the last has ended. Returns the exit code. */
int listen_pump(struct listeners *listeners);

#endif
