/* The event `oom`: the kernel killed a process for lack of memory.
 *
 * The kernel's counter says whether it did, for nobody can write to that. Its log says who it was,
 * and wakes the loop: a guest that does nothing logs nothing. */
#ifndef BANGER_OOM_H
#define BANGER_OOM_H

#include <stdbool.h>
#include <sys/types.h>

/* Once the loop is open, and again after it was opened anew. */
void oom_watch(void);
/* What happened so far happened to who this guest was before. */
void oom_forget(void);
/* A child died by SIGKILL. To be called before the host hears of it. */
void oom_look(void);
/* The host takes over an exec that died by SIGKILL: whoever was told why may be gone. */
void oom_tell_again(pid_t pid);
/* Queues the event if there is something to tell. */
bool oom_tell(void);

#endif
