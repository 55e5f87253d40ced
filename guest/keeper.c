#include "keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop.h"

uint64_t keeper_pause_ms(uint64_t last_ms, uint64_t lived_ms)
{
	if (!last_ms || lived_ms >= KEEPER_CALM_MS)
		return KEEPER_PAUSE_MIN_MS;
	return last_ms >= KEEPER_PAUSE_MAX_MS / 2 ? KEEPER_PAUSE_MAX_MS : 2 * last_ms;
}

/* Until it has died, or, which is true then, was stopped. */
static bool wait_for(pid_t agent)
{
	int status = 0;

	while (waitpid(agent, &status, WUNTRACED) < 0 && errno == EINTR)
		;
	return WIFSTOPPED(status);
}

_Noreturn void keeper_run(pid_t agent, void (*begin)(void))
{
	uint64_t pause_ms = 0, begun = now_ms();
	sigset_t all;

	prctl(PR_SET_NAME, "banger-keeper");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (;;) {
		/* A fork that failed counts as an agent that died at once. */
		bool stopped = agent > 0 && wait_for(agent);

		pause_ms = keeper_pause_ms(pause_ms, now_ms() - begun);
		poll(NULL, 0, (int)pause_ms);
		begun = now_ms();
		if (stopped) {
			kill(agent, SIGCONT);
			continue;
		}
		agent = fork();
		if (agent == 0) {
			begin();
			_exit(1);
		}
	}
}
