/* Waiting for devices: the kernel's uevents, instead of looking again and again. */
#ifndef BANGER_UEVENT_H
#define BANGER_UEVENT_H

#include <stdbool.h>
#include <stdint.h>

/* To be called before the drivers are loaded. */
void uevent_open(void);
void uevent_close(void);
/* Sleeps until some device changed. False once the deadline has passed. */
bool uevent_wait(uint64_t deadline_ms);

#endif
