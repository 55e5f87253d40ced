#include "signals.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "agent.h"
#include "exec.h"
#include "fd.h"
#include "jobs.h"
#include "loop.h"
#include "oom.h"
#include "shutdown.h"

static void signals_ready(struct watch *watch, uint32_t events);
static struct watch watch = { .fd = -1, .ready = signals_ready };

/* What reboot(2) does to process 1 of a space, and no other signal can do: it ends by one of these. */
static void space_ended(int status)
{
	int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (number == SIGHUP)
		shutdown_begin(SHUTDOWN_REBOOT, SHUTDOWN_GRACE_MS);
	else if (number == SIGINT)
		shutdown_begin(SHUTDOWN_POWEROFF, SHUTDOWN_GRACE_MS);
}

static void reap(void)
{
	bool killed = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (exec_is_process_1(pid))
			space_ended(status);
		killed |= WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		if (!jobs_reaped(pid, status))
			exec_reaped(pid, status);
	}
	if (killed)
		oom_look();
	shutdown_reaped(pid < 0 && errno == ECHILD);
}

/* As pid 1, the agent is whom the image's own poweroff and reboot commands turn to. */
static void asked_to_go(int number)
{
	if (!agent.is_init)
		return;
	if (number == SIGUSR2 || number == SIGUSR1 || number == SIGNAL_POWEROFF)
		shutdown_begin(SHUTDOWN_POWEROFF, SHUTDOWN_GRACE_MS);
	else
		shutdown_begin(SHUTDOWN_REBOOT, SHUTDOWN_GRACE_MS);
}

static void signals_ready(struct watch *watch_, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	while (read(watch_->fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			reap();
		else
			asked_to_go((int)info.ssi_signo);
	}
}

int signals_open(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGNAL_POWEROFF);
	sigaddset(&set, SIGNAL_REBOOT);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGHUP, &ignore, NULL);
	signals_close();
	watch.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return watch.fd >= 0 && watch_set(&watch, EPOLLIN) ? 0 : -1;
}

void signals_close(void)
{
	watch.events = 0;
	fd_close(&watch.fd);
}
