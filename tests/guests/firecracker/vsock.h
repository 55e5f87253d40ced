/* A stream to the host: one connection at a time, the newest. */
#ifndef VSOCK_H
#define VSOCK_H

#include "machine.h"

/* False if the machine has no such device. */
bool vsock_begin(void);

/* Looks once for what the host has sent. Calls `guest_connected` and `guest_received`. */
void vsock_poll(void);

/* To the connection that is there, if there is one. */
void vsock_send(const uint8_t *bytes, size_t size);

#endif
