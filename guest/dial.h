/* Connections to ports of the guest, for the host: an exec whose streams are those of a socket, and that has no
 * process. It ends with its host's session. */
#ifndef BANGER_DIAL_H
#define BANGER_DIAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "exec.h"

enum { DIAL_MS = 10000 };

/* The n-th address at which a service of this machine may listen: the loopback addresses, then those of its
 * interfaces. Returns the length, 0 past the end. */
socklen_t dial_candidate(size_t index, uint16_t port, struct sockaddr_storage *address);

/* Tries one address after the other. Answers the request when one accepted, or `err` says why none did at once; -1
 * then. */
int dial_begin(struct exec *exec, uint16_t port, struct err *err);

/* Its peer hears of a reset, and not of an end. */
void dial_reset(struct exec *exec);

#endif
