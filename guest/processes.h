/* All processes of a session, found in /proc. */
#ifndef BANGER_PROCESSES_H
#define BANGER_PROCESSES_H

#include <sys/types.h>

/* Signals the process group of the leader and everything else in its session. */
void session_kill(pid_t session, int signal_number);

#endif
