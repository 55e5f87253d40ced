#include "init.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent.h"
#include "boot.h"
#include "canary.h"
#include "child.h"
#include "console.h"
#include "fd.h"
#include "files.h"
#include "initctl.h"
#include "keeper.h"
#include "loop.h"
#include "oom.h"
#include "out.h"
#include "port.h"
#include "serve.h"
#include "session.h"
#include "signals.h"

enum { ARGUMENTS_MAX = 64, ARGUMENTS_BYTES = 4096 };

char *init_own_name;

static char *arguments[ARGUMENTS_MAX + 1];
static char argument_bytes[ARGUMENTS_BYTES];

static int collect_arguments(const struct fields *fields, struct err *err)
{
	static char fallback[] = "/sbin/init";
	struct fields rest = *fields;
	struct field field;
	size_t count = 0, used = 0;

	while (fields_next(&rest, &field)) {
		if (field.tag != TAG_ARGV)
			continue;
		if (count == ARGUMENTS_MAX || field.value.length >= ARGUMENTS_BYTES - used)
			return err_set(err, ERR_BAD_REQUEST, 0, "too many arguments for the init");
		arguments[count++] = argument_bytes + used;
		span_copy(field.value, argument_bytes + used, ARGUMENTS_BYTES - used);
		used += field.value.length + 1;
	}
	if (!count)
		arguments[count++] = fallback;
	arguments[count] = NULL;
	return 0;
}

/* Pid 1 may never end, or the kernel panics: without an init it does an init's one duty. */
static _Noreturn void stand_in(void)
{
	sigset_t children;

	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_SETMASK, &children, NULL);
	for (;;) {
		int number;

		sigwait(&children, &number);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

static _Noreturn void become_init(int report)
{
	static char *const environment[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/",
		"TERM=linux",
		NULL,
	};
	int number, fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);

	child_reset_signals();
	umask(022);
	for (int i = 0; fd >= 0 && i < 3; i++)
		dup2(fd, i);
	execve(arguments[0], arguments, environment);
	number = errno;
	write_all(report, &number, sizeof number);
	close(report);
	port_close();
	signals_close();
	stand_in();
}

/* For the keeper and all agents that come of it. */
static void go_beside_init(void)
{
	AUTO_FD score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	agent.is_init = false;
	setsid();
	/* systemd lets live, to the very end, whose command line begins with an @. */
	if (init_own_name)
		init_own_name[0] = '@';
	if (score >= 0 && write(score, "-1000", 5) < 0)
		console("oom_score_adj: %s", strerror(errno));
	/* An epoll set is shared by fork, and signals in it are the parent's. */
	loop_close();
	signals_close();
}

static int go_on_as_agent(void)
{
	setsid();
	prctl(PR_SET_NAME, "banger-agent");
	if (loop_open() < 0 || signals_open() < 0 || port_watch() < 0)
		return -1;
	oom_watch();
	return 0;
}

/* In the place of an agent that was killed. It knows what that one knew when the keeper began, and of no
 * process that it had started. */
static void begin_anew(void)
{
	if (go_on_as_agent() < 0)
		return;
	console("the agent was killed and is started again");
	oom_forget();
	boot_make_id();
	canary_want_new();
	session_begin_anew();
	serve();
}

/* Either the program's start closes the pipe, or the number of the failure comes. */
static int read_report(int report)
{
	int number;

	return read(report, &number, sizeof number) == (ssize_t)sizeof number ? number : 0;
}

int init_hand_over(const struct fields *fields, struct err *err)
{
	AUTO_FD report_read = -1;
	AUTO_FD report_write = -1;
	int ends[2], number;
	pid_t pid;

	if (collect_arguments(fields, err) < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, ERR_IO, errno, "pipe");
	initctl_close();
	report_read = ends[0];
	report_write = ends[1];
	pid = fork();
	if (pid < 0)
		return err_set(err, ERR_IO, errno, "fork");
	if (pid > 0)
		become_init(report_write);
	fd_close(&report_write);
	go_beside_init();
	number = read_report(report_read);
	fd_close(&report_read);
	agent.init_failed = number != 0;
	/* Without a keeper, should there be none, it is an agent all the same. */
	pid = fork();
	if (pid > 0)
		keeper_run(pid, begin_anew);
	if (go_on_as_agent() < 0)
		return err_set(err, ERR_IO, errno, "event loop");
	if (number) {
		err_set(err, ERR_IO, number, "cannot start %.100s as init", arguments[0]);
		console("%s", err->message);
		out_event("init_exited", number, 0, err->message);
	}
	return 0;
}
