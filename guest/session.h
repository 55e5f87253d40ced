/* The conversation with the host: greeting, taking in frames, giving out frames. */
#ifndef BANGER_SESSION_H
#define BANGER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

/* Changes with each HELLO. An answer that comes late belongs to the session of its request. */
uint32_t session_number(void);
bool session_greeted(void);
/* In an agent that was started in the place of one that was killed: the host, if there is one, is told
 * so. */
void session_begin_anew(void);
/* One bounded share of work on the port; to be called after every round of the loop. */
void session_round(void);
/* Nothing is left to be sent, as far as this side goes. */
bool session_flushed(void);

#endif
