#include "exec.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include "agent.h"
#include "applet.h"
#include "child.h"
#include "dial.h"
#include "exec_io.h"
#include "fd.h"
#include "out.h"
#include "processes.h"
#include "session.h"
#include "space.h"

static struct exec *execs[EXEC_MAX];
static size_t exec_count, turn;
static uint64_t retirements;

struct exec *exec_at(size_t index)
{
	return index < exec_count ? execs[index] : NULL;
}

struct exec *exec_find(uint32_t channel)
{
	for (size_t i = 0; i < exec_count; i++)
		if (execs[i]->channel == channel)
			return execs[i];
	return NULL;
}

size_t exec_running(void)
{
	size_t running = 0;

	for (size_t i = 0; i < exec_count; i++)
		running += execs[i]->state != EXEC_ENDED && !execs[i]->dial.dialed;
	return running;
}

static size_t exec_dialed(void)
{
	size_t dialed = 0;

	for (size_t i = 0; i < exec_count; i++)
		dialed += execs[i]->dial.dialed;
	return dialed;
}

static size_t exec_retired(void)
{
	size_t retired = 0;

	for (size_t i = 0; i < exec_count; i++)
		retired += execs[i]->retired_at != 0;
	return retired;
}

static void exec_free(struct exec *exec)
{
	for (size_t i = 0; i < exec_count; i++) {
		if (execs[i] != exec)
			continue;
		execs[i] = execs[--exec_count];
		break;
	}
	timer_cancel(&exec->timeout);
	watch_close(&exec->start);
	input_close(exec);
	for (int i = 0; i < 2; i++) {
		output_close(exec, &exec->outputs[i]);
		stream_free(&exec->outputs[i].stream);
	}
	free(exec);
}

/* A record that has nothing more to tell counts as retired; the oldest of too many goes. Of a connection nobody will
 * ask again. */
static void exec_retire(void)
{
	for (size_t i = exec_count; i-- > 0;) {
		struct exec *exec = execs[i];
		bool told = exec->state == EXEC_ENDED && (!exec->attached || exec->exit_sent);

		if (told && exec->dial.dialed)
			exec_free(exec);
		else if (told && !exec->retired_at)
			exec->retired_at = ++retirements;
	}
	while (exec_retired() > EXEC_RETIRED_MAX) {
		struct exec *oldest = NULL;

		for (size_t i = 0; i < exec_count; i++)
			if (execs[i]->retired_at &&
			    (!oldest || execs[i]->retired_at < oldest->retired_at))
				oldest = execs[i];
		exec_free(oldest);
	}
}

static void exec_end(struct exec *exec, int status)
{
	exec->state = EXEC_ENDED;
	if (WIFSIGNALED(status)) {
		exec->exit_signal = WTERMSIG(status);
		exec->exit_code = 128 + exec->exit_signal;
	} else {
		exec->exit_code = WEXITSTATUS(status);
	}
	timer_cancel(&exec->timeout);
	input_close(exec);
	for (int i = 0; i < 2; i++)
		output_drain(exec, &exec->outputs[i]);
	exec_retire();
}

static void exec_started(struct exec *exec)
{
	exec->state = EXEC_RUNNING;
	if (exec->session != session_number())
		return;
	exec->attached = true;
	put_int(out_begin(FRAME_OK, exec->channel), TAG_PID, exec->pid);
	out_end();
}

/* Returns false if the start failed, and the record with it. */
static bool exec_learn_start(struct exec *exec)
{
	struct err err;
	ssize_t got = read(exec->start.fd, &err, sizeof err);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	watch_close(&exec->start);
	if (got != (ssize_t)sizeof err) {
		exec_started(exec);
		return true;
	}
	if (exec->session == session_number())
		out_fail(exec->channel, &err);
	exec_free(exec);
	return false;
}

static void start_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	exec_learn_start(watch->owner);
}

static void timeout_fired(struct timer *timer)
{
	struct exec *exec = timer->owner;

	exec->timed_out = true;
	session_kill(exec->pid, SIGKILL);
}

bool exec_is_process_1(pid_t pid)
{
	for (size_t i = 0; i < exec_count; i++)
		if (execs[i]->process_1 && execs[i]->pid == pid && execs[i]->state != EXEC_ENDED)
			return true;
	return false;
}

/* The pid of the one that all others are executed beside, 0: there is none. */
static pid_t find_process_1(void)
{
	for (size_t i = 0; i < exec_count; i++)
		if (execs[i]->process_1 && execs[i]->state == EXEC_RUNNING)
			return execs[i]->pid;
	return 0;
}

void exec_reaped(pid_t pid, int status)
{
	for (size_t i = 0; i < exec_count; i++) {
		struct exec *exec = execs[i];

		if (exec->pid != pid || exec->state == EXEC_ENDED)
			continue;
		/* A short life may end before its start was noticed. */
		if (exec->state == EXEC_STARTING && !exec_learn_start(exec))
			return;
		if (exec->state == EXEC_STARTING)
			exec_started(exec);
		exec_end(exec, status);
		return;
	}
}

/* Both ends of all that connects an exec with its child. */
struct plumbing {
	int child[3], ours[3]; /* ours[i] is the other end of child[i] */
	int tty;
	int report_read, report_write;
};

static void plumbing_close(struct plumbing *plumbing)
{
	for (int i = 0; i < 3; i++) {
		fd_close(&plumbing->child[i]);
		fd_close(&plumbing->ours[i]);
	}
	fd_close(&plumbing->tty);
	fd_close(&plumbing->report_read);
	fd_close(&plumbing->report_write);
}

static int open_pipe(int *read_end, int *write_end, int *ours)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	*read_end = ends[0];
	*write_end = ends[1];
	/* Only this side: the program expects a pipe that blocks. */
	return fcntl(*ours, F_SETFL, O_NONBLOCK);
}

/* Archives pass through these: the fewer turns, the better. */
static void widen(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETPIPE_SZ, STREAM_WINDOW);
}

static int open_terminal(struct plumbing *plumbing, int rows, int columns)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };
	int unlock = 0;

	plumbing->tty = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (plumbing->tty < 0 || ioctl(plumbing->tty, TIOCSPTLCK, &unlock) < 0)
		return -1;
	if (rows > 0 && columns > 0 && ioctl(plumbing->tty, TIOCSWINSZ, &size) < 0)
		return -1;
	/* Reading and writing are watched apart: two descriptors. */
	plumbing->ours[STREAM_STDIN] = fcntl(plumbing->tty, F_DUPFD_CLOEXEC, 0);
	plumbing->ours[STREAM_STDOUT] = fcntl(plumbing->tty, F_DUPFD_CLOEXEC, 0);
	return plumbing->ours[STREAM_STDIN] < 0 || plumbing->ours[STREAM_STDOUT] < 0 ? -1 : 0;
}

static int plumbing_open(struct plumbing *plumbing, const struct fields *fields)
{
	int *child = plumbing->child, *ours = plumbing->ours;
	struct span applet;

	if (open_pipe(&plumbing->report_read, &plumbing->report_write, &plumbing->report_read) < 0)
		return -1;
	if (fields_int(fields, TAG_TTY, 0))
		return open_terminal(plumbing, (int)fields_int(fields, TAG_ROWS, 0),
				     (int)fields_int(fields, TAG_COLS, 0));
	if (fields_int(fields, TAG_STDIN, 0) && open_pipe(&child[0], &ours[0], &ours[0]) < 0)
		return -1;
	if (open_pipe(&ours[1], &child[1], &ours[1]) < 0)
		return -1;
	if (fields_span(fields, TAG_APPLET, &applet)) {
		widen(ours[0]);
		widen(ours[1]);
	}
	return open_pipe(&ours[2], &child[2], &ours[2]);
}

static pid_t fork_child(const struct plumbing *plumbing, const struct fields *fields)
{
	bool process_1 = fields_int(fields, TAG_PROCESS_1, 0);
	pid_t beside = find_process_1();
	pid_t pid = process_1 ? space_fork_new() : beside ? space_fork_into(beside) : fork();

	if (pid == 0) {
		struct child_plan plan = {
			.fields = *fields,
			.tty = plumbing->tty >= 0,
			.process_1 = process_1,
			.stdio = { plumbing->child[0], plumbing->child[1], plumbing->child[2] },
			.tty_fd = plumbing->tty,
			.report_fd = plumbing->report_write,
		};
		child_run(&plan);
	}
	return pid;
}

static struct exec *exec_new(const struct request *request, struct plumbing *plumbing)
{
	struct exec *exec = calloc(1, sizeof *exec);
	struct span label;

	if (!exec)
		return NULL;
	exec->channel = request->channel;
	exec->session = session_number();
	exec->tty = plumbing->tty >= 0;
	exec->process_1 = fields_int(&request->fields, TAG_PROCESS_1, 0);
	exec->start = (struct watch){ fd_take(&plumbing->report_read), 0, start_ready, exec };
	exec->input.watch = (struct watch){ fd_take(&plumbing->ours[0]), 0, input_ready, exec };
	for (int i = 0; i < 2; i++)
		exec->outputs[i].watch =
			(struct watch){ fd_take(&plumbing->ours[i + 1]), 0, output_ready, exec };
	/* With a terminal there is no stream of errors, and so no end of it to tell. */
	exec->outputs[1].eof_sent = exec->tty;
	exec->timeout = (struct timer){ .fired = timeout_fired, .owner = exec };
	if (fields_span(&request->fields, TAG_LABEL, &label)) {
		memcpy(exec->label, label.data, label.length);
		exec->label_length = label.length;
	}
	return exec;
}

static int exec_check(const struct request *request, struct err *err)
{
	struct span applet, label;

	if (agent.state != STATE_RUNNING)
		return err_set(err, ERR_BUSY, 0, "the guest is shutting down");
	if (exec_count - exec_dialed() - exec_retired() >= EXEC_RUNNING_MAX)
		return err_set(err, ERR_BUSY, 0, "%d commands are running already", EXEC_RUNNING_MAX);
	if (fields_span(&request->fields, TAG_APPLET, &applet) && !applet_exists(applet))
		return err_set(err, ERR_BAD_REQUEST, 0, "no such applet");
	if (fields_span(&request->fields, TAG_LABEL, &label) && label.length > LABEL_MAX)
		return err_set(err, ERR_BAD_REQUEST, 0, "the label is too long");
	return 0;
}

static bool exec_watch(struct exec *exec)
{
	for (int i = 0; i < 2; i++)
		if (exec->outputs[i].watch.fd >= 0 && !watch_set(&exec->outputs[i].watch, EPOLLIN))
			return false;
	return watch_set(&exec->start, EPOLLIN);
}

static int exec_spawn(const struct request *request, struct plumbing *plumbing, struct err *err)
{
	struct exec *exec;
	int64_t timeout_ms = fields_int(&request->fields, TAG_TIMEOUT_MS, 0);

	if (exec_check(request, err) < 0)
		return -1;
	if (plumbing_open(plumbing, &request->fields) < 0)
		return err_set(err, ERR_IO, errno, "pipes or terminal");
	exec = exec_new(request, plumbing);
	if (!exec)
		return err_set(err, ERR_IO, ENOMEM, "exec");
	execs[exec_count++] = exec;
	exec->pid = fork_child(plumbing, &request->fields);
	if (exec->pid < 0) {
		err_set(err, ERR_IO, errno, "fork");
		exec_free(exec);
		return -1;
	}
	if (!exec_watch(exec)) {
		err_set(err, ERR_IO, errno, "event loop");
		kill(exec->pid, SIGKILL);
		exec_free(exec);
		return -1;
	}
	if (timeout_ms > 0)
		timer_arm(&exec->timeout, (uint64_t)timeout_ms);
	return 0;
}

void exec_start(const struct request *request)
{
	struct plumbing plumbing = { { -1, -1, -1 }, { -1, -1, -1 }, -1, -1, -1 };
	struct err err;

	if (exec_spawn(request, &plumbing, &err) < 0)
		out_fail(request->channel, &err);
	plumbing_close(&plumbing);
}

static int dial_check(const struct request *request, struct err *err)
{
	int64_t port = fields_int(&request->fields, TAG_DIAL_PORT, 0);

	if (port < 1 || port > UINT16_MAX)
		return err_set(err, ERR_BAD_REQUEST, 0, "no port %lld", (long long)port);
	if (agent.state != STATE_RUNNING)
		return err_set(err, ERR_BUSY, 0, "the guest is shutting down");
	if (exec_dialed() >= DIALED_MAX)
		return err_set(err, ERR_BUSY, 0, "%d connections to ports are open already", DIALED_MAX);
	return 0;
}

static int dial_new(const struct request *request, struct err *err)
{
	struct exec *exec;

	if (dial_check(request, err) < 0)
		return -1;
	exec = calloc(1, sizeof *exec);
	if (!exec)
		return err_set(err, ERR_IO, ENOMEM, "connection");
	exec->channel = request->channel;
	exec->session = session_number();
	exec->input.watch.fd = exec->outputs[0].watch.fd = exec->outputs[1].watch.fd = -1;
	execs[exec_count++] = exec;
	if (dial_begin(exec, (uint16_t)fields_int(&request->fields, TAG_DIAL_PORT, 0), err) < 0) {
		exec_free(exec);
		return -1;
	}
	return 0;
}

void exec_dial(const struct request *request)
{
	struct err err;

	if (dial_new(request, &err) < 0)
		out_fail(request->channel, &err);
}

void exec_take(const struct frame *frame)
{
	struct exec *exec = exec_find(frame->channel);

	if (exec)
		exec_io_take(exec, frame);
}

size_t exec_fill(uint8_t *at, size_t room)
{
	size_t used = 0;

	for (size_t idle = 0; idle < exec_count;) {
		size_t length = exec_io_emit(execs[turn++ % exec_count], at + used, room - used);

		idle = length ? 0 : idle + 1;
		used += length;
	}
	if (used)
		exec_retire();
	return used;
}

bool exec_flushed(void)
{
	for (size_t i = 0; i < exec_count; i++)
		if (exec_io_pending(execs[i]))
			return false;
	return true;
}

void exec_detach_all(void)
{
	for (size_t i = exec_count; i-- > 0;) {
		execs[i]->attached = false;
		if (execs[i]->dial.dialed)
			exec_forget(execs[i]);
	}
	exec_retire();
}

void exec_attach(struct exec *exec)
{
	exec->attached = true;
	exec->retired_at = 0;
	exec->exit_sent = false;
	exec->input.credit_due = true;
	for (int i = 0; i < 2; i++) {
		exec->outputs[i].stream.sent = exec->outputs[i].stream.base;
		exec->outputs[i].eof_sent = i == 1 && exec->tty;
	}
}

void exec_forget(struct exec *exec)
{
	if (exec->dial.dialed)
		dial_reset(exec);
	exec_free(exec);
}

int exec_signal(struct exec *exec, int signal_number, bool session, struct err *err)
{
	if (signal_number < 1 || signal_number >= _NSIG)
		return err_set(err, ERR_BAD_REQUEST, 0, "no signal %d", signal_number);
	if (exec->state == EXEC_ENDED || exec->dial.dialed)
		return err_set(err, ERR_NO_SUCH_EXEC, 0, "there is no process");
	if (session)
		session_kill(exec->pid, signal_number);
	else if (kill(exec->pid, signal_number) < 0)
		return err_set(err, ERR_IO, errno, "signal %d", signal_number);
	return 0;
}

int exec_resize(struct exec *exec, int rows, int columns, struct err *err)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };

	if (!exec->tty)
		return err_set(err, ERR_BAD_REQUEST, 0, "the exec has no terminal");
	if (exec->outputs[0].watch.fd < 0)
		return 0;
	if (ioctl(exec->outputs[0].watch.fd, TIOCSWINSZ, &size) < 0)
		return err_set(err, ERR_IO, errno, "window size");
	return 0;
}
