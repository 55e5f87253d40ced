#include "shutdown.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>

#include "agent.h"
#include "child.h"
#include "cmdline.h"
#include "console.h"
#include "exec.h"
#include "fd.h"
#include "loop.h"
#include "out.h"
#include "root.h"
#include "session.h"
#include "volumes.h"

enum {
	KILL_WAIT_MS = 2000,
	FLUSH_WAIT_MS = 500,
	/* The VMM hands the last bytes on while the machine still exists. */
	PARTING_MS = 10,
};

enum stage {
	STAGE_NONE,
	STAGE_ASKED,    /* SIGTERM went out, or the image's init was told */
	STAGE_KILLED,   /* SIGKILL went out */
	STAGE_FLUSHING, /* the host takes the last answers */
	STAGE_PARTING,
};

static enum stage stage;
static enum shutdown_mode mode;
static void timer_fired(struct timer *timer);
static struct timer timer = { .fired = timer_fired };

static void enter(enum stage next, uint64_t limit_ms)
{
	stage = next;
	timer_arm(&timer, limit_ms);
}

static void reboot_now(void)
{
	char how[16];

	/* A machine without ACPI ends by a reset. */
	if (cmdline_get("banger.poweroff", how, sizeof how) && strcmp(how, "reset") == 0)
		reboot(RB_AUTOBOOT);
	reboot(mode == SHUTDOWN_REBOOT ? RB_AUTOBOOT : RB_POWER_OFF);
}

static void put_away(void)
{
	sync();
	if (mode != SHUTDOWN_NOW)
		volumes_put_away();
	if (mode != SHUTDOWN_NOW && mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		sync();
	reboot_now();
	console("cannot shut down: %s", strerror(errno));
}

/* Whether the processes are the agent's to end, as no init of the image does it. */
static bool on_our_own(void)
{
	return agent.is_init || agent.init_failed;
}

static void tell_init(void)
{
	const char *program = mode == SHUTDOWN_REBOOT ? "/sbin/reboot" : "/sbin/poweroff";

	if (access("/run/systemd/system", F_OK) == 0) {
		kill(1, mode == SHUTDOWN_REBOOT ? SIGNAL_REBOOT : SIGNAL_POWEROFF);
		return;
	}
	if (fork() == 0) {
		child_reset_signals();
		execl(program, program, (char *)NULL);
		_exit(127);
	}
}

static void flush(void)
{
	enter(STAGE_FLUSHING, FLUSH_WAIT_MS);
	loop_hurry();
}

void shutdown_begin(enum shutdown_mode mode_, uint64_t grace_ms)
{
	siginfo_t info;
	struct err err;

	if (stage != STAGE_NONE && mode_ != SHUTDOWN_NOW)
		return;
	mode = mode_;
	agent.state = STATE_STOPPING;
	root_thaw(&err); /* who waits for a frozen root can neither end nor be killed */
	out_event("shutdown", 0, 0, mode == SHUTDOWN_REBOOT ? "reboot" : "power off");
	if (mode == SHUTDOWN_NOW) {
		flush();
		return;
	}
	enter(STAGE_ASKED, grace_ms);
	if (!on_our_own()) {
		tell_init();
		return;
	}
	kill(-1, SIGTERM);
	/* What is stopped must go on to see its end coming. */
	kill(-1, SIGCONT);
	/* Without children there is no SIGCHLD to wait for. */
	shutdown_reaped(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0);
}

static void timer_fired(struct timer *timer_)
{
	(void)timer_;
	switch (stage) {
	case STAGE_ASKED:
		if (on_our_own()) {
			kill(-1, SIGKILL);
			enter(STAGE_KILLED, KILL_WAIT_MS);
			return;
		}
		flush();
		return;
	case STAGE_KILLED:
		flush();
		return;
	case STAGE_FLUSHING:
	case STAGE_PARTING:
		put_away();
		return;
	case STAGE_NONE:
		return;
	}
}

void shutdown_reaped(bool none_left)
{
	if (none_left && on_our_own() && (stage == STAGE_ASKED || stage == STAGE_KILLED))
		flush();
}

void shutdown_round(void)
{
	if (stage == STAGE_FLUSHING && session_flushed() && exec_flushed())
		enter(STAGE_PARTING, PARTING_MS);
}

_Noreturn void shutdown_power_off(void)
{
	for (;;) {
		put_away();
		sleep(60);
	}
}
