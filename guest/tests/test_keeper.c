#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "keeper.h"

static int report[2];

static void who_dies_young_waits_longer(void)
{
	uint64_t pause_ms = keeper_pause_ms(0, 0);

	CHECK(pause_ms == KEEPER_PAUSE_MIN_MS);
	for (int i = 0; i < 100; i++) {
		uint64_t next_ms = keeper_pause_ms(pause_ms, KEEPER_CALM_MS - 1);

		CHECK(next_ms <= KEEPER_PAUSE_MAX_MS);
		CHECK(next_ms == 2 * pause_ms || next_ms == KEEPER_PAUSE_MAX_MS);
		pause_ms = next_ms;
	}
	CHECK(pause_ms == KEEPER_PAUSE_MAX_MS);
	CHECK(keeper_pause_ms(pause_ms, KEEPER_CALM_MS) == KEEPER_PAUSE_MIN_MS);
}

/* Tells who it is again and again, until it is killed. */
static void live(void)
{
	pid_t self = getpid();

	while (write(report[1], &self, sizeof self) == (ssize_t)sizeof self)
		usleep(1000);
}

static pid_t next_agent(pid_t before)
{
	pid_t pid;

	do
		CHECK(read(report[0], &pid, sizeof pid) == (ssize_t)sizeof pid);
	while (pid == before);
	return pid;
}

static pid_t start_keeper(void)
{
	pid_t keeper = fork();

	if (keeper == 0) {
		pid_t agent = fork();

		if (agent == 0)
			live();
		keeper_run(agent, live);
	}
	CHECK(keeper > 0);
	return keeper;
}

static void end_keeper(pid_t keeper, pid_t agent)
{
	CHECK(waitpid(keeper, NULL, WNOHANG) == 0);
	CHECK(kill(keeper, SIGKILL) == 0 && waitpid(keeper, NULL, 0) == keeper);
	CHECK(kill(agent, SIGKILL) == 0);
	close(report[0]);
	close(report[1]);
}

static void who_is_killed_is_started_again(void)
{
	pid_t keeper, agent;

	CHECK(pipe(report) == 0);
	keeper = start_keeper();
	agent = next_agent(0);
	for (int i = 0; i < 3; i++) {
		/* It has begun for sure when it has started one. */
		if (i)
			CHECK(kill(keeper, SIGTERM) == 0 && kill(keeper, SIGHUP) == 0);
		CHECK(kill(agent, SIGKILL) == 0);
		agent = next_agent(agent);
	}
	end_keeper(keeper, agent);
}

static void who_is_stopped_goes_on(void)
{
	uint8_t told[4096];
	pid_t keeper, agent;

	CHECK(pipe(report) == 0);
	keeper = start_keeper();
	agent = next_agent(0);
	for (int i = 0; i < 3; i++) {
		CHECK(kill(agent, SIGSTOP) == 0);
		usleep(5000);
		/* What it had told before is read; more comes only from one that goes on. */
		CHECK(read(report[0], told, sizeof told) > 0);
		CHECK(next_agent(0) == agent);
	}
	end_keeper(keeper, agent);
}

void test_keeper(void)
{
	who_dies_young_waits_longer();
	who_is_killed_is_started_again();
	who_is_stopped_goes_on();
}
