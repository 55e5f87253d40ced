/* The byte stream to the host, over virtio-serial or vsock. Nothing above knows which. */
#ifndef BANGER_PORT_H
#define BANGER_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "err.h"

enum { PORT_VSOCK = 1024 };

struct port_status {
	bool readable, writable; /* worth trying; cleared by a try that found nothing */
};

extern struct port_status port;

/* Waits (bounded) for the virtio-serial port `banger.agent`. */
int port_open_serial(struct err *err);
int port_open_vsock(struct err *err);
/* The descriptor of the virtio-serial port `banger.shares`, for a process of its own. */
int port_open_shares(struct err *err);
/* As write(2) to a port, of as much as the kernel has memory for; ENOMEM if it has hardly any. */
ssize_t port_write_piece(int fd, const void *bytes, size_t length);
/* Registers with the event loop; again after the loop was opened anew. */
int port_watch(void);
void port_close(void);

/* Bytes read, 0 if there is nothing now, -1 if no host is connected. */
ssize_t port_read(void *bytes, size_t length);
/* Bytes written, 0 if the host takes none now, -1 if no host is connected. */
ssize_t port_write(const void *bytes, size_t length);

#endif
