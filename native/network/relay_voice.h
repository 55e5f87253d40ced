/* Sockets in the guests' network that speak for servers that guests ask for names: an answer must come from the address
 * that was asked. A few are kept, one for each address. */
#ifndef BANGER_RELAY_VOICE_H
#define BANGER_RELAY_VOICE_H

#include "relay_address.h"

#include <stdbool.h>
#include <stddef.h>

enum voice_state { VOICE_READY, VOICE_LATER, VOICE_NEVER };

/* Whether there is a socket for this server; asks the keeper for one. `guest`: who will be answered first. `came` is
 * called when sockets have come, or will not. */
enum voice_state voice_find(const struct endpoint *server, const struct endpoint *guest);
void voices_open(void (*came)(void));

/* Sends an answer, if there is a socket for this server. */
void voice_say(const struct endpoint *server, const struct endpoint *guest, const uint8_t *bytes, size_t length);

#endif
