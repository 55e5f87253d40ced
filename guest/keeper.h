/* The process beside the image's init that starts the agent again when it was killed, and lets it go on
 * when it was stopped. */
#ifndef BANGER_KEEPER_H
#define BANGER_KEEPER_H

#include <stdint.h>
#include <sys/types.h>

enum { KEEPER_PAUSE_MIN_MS = 20, KEEPER_PAUSE_MAX_MS = 5000, KEEPER_CALM_MS = 10000 };

/* How long to wait after an agent that lived so long, or ran so long before it was stopped; it
 * doubles while that is little. */
uint64_t keeper_pause_ms(uint64_t last_ms, uint64_t lived_ms);
/* The caller is the parent of the agent and does nothing else any more. Each further agent begins in a
 * child, as the caller is now: what it has open, they have. */
_Noreturn void keeper_run(pid_t agent, void (*begin)(void));

#endif
