/* What the guest does with what its host tells it. */
#ifndef GUEST_H
#define GUEST_H

#include "machine.h"

_Noreturn void guest_run(void);

/* A new connection: a new session begins. */
void guest_connected(void);

void guest_received(const uint8_t *bytes, size_t size);

#endif
