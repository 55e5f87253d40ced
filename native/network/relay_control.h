/* The control socket: who asks, what is answered, and who is told of events. Only processes of our own user. */
#ifndef BANGER_RELAY_CONTROL_H
#define BANGER_RELAY_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

/* False: the descriptor is not a listening socket that can be waited for. */
bool control_open(int listener);

/* Sends an event to all who asked for events; a receiver that does not read misses it. */
void control_tell(const char *event, size_t length);

/* Sends an event with a descriptor to one who asked for events. False: nobody takes it. */
bool control_hand(const char *event, size_t length, int descriptor);

#endif
