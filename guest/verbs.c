#include "verbs.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent.h"
#include "configure.h"
#include "exec.h"
#include "files.h"
#include "identity.h"
#include "jobs.h"
#include "loop.h"
#include "oom.h"
#include "out.h"
#include "pieces.h"
#include "root.h"
#include "secret.h"
#include "session.h"
#include "share.h"
#include "shutdown.h"
#include "sockets.h"
#include "stats.h"
#include "volumes.h"

static void ping(const struct request *request)
{
	struct field_writer *fields = out_begin(FRAME_OK, request->channel);

	put_int(fields, TAG_UPTIME_MS, (int64_t)now_ms());
	identity_put_clock(fields);
	out_end();
}

/* The exec that the request names; answers FAIL if there is none. */
static struct exec *named_exec(const struct request *request)
{
	int64_t channel = fields_int(&request->fields, TAG_EXEC, 0);
	struct exec *exec = NULL;
	struct err err;

	if (channel > 0 && channel <= UINT32_MAX)
		exec = exec_find((uint32_t)channel);
	if (!exec) {
		err_set(&err, ERR_NO_SUCH_EXEC, 0, "no exec %lld", (long long)channel);
		out_fail(request->channel, &err);
	}
	return exec;
}

static void answer(const struct request *request, int result, const struct err *err)
{
	if (result < 0)
		out_fail(request->channel, err);
	else
		out_ok(request->channel);
}

static void signal_exec(const struct request *request)
{
	struct exec *exec = named_exec(request);
	struct err err;

	if (exec)
		answer(request,
		       exec_signal(exec, (int)fields_int(&request->fields, TAG_SIGNAL, 0),
				   fields_int(&request->fields, TAG_SESSION, 0), &err),
		       &err);
}

static void resize(const struct request *request)
{
	struct exec *exec = named_exec(request);
	struct err err;

	if (exec)
		answer(request,
		       exec_resize(exec, (int)fields_int(&request->fields, TAG_ROWS, 0),
				   (int)fields_int(&request->fields, TAG_COLS, 0), &err),
		       &err);
}

static void put_offsets(struct field_writer *fields, const struct exec *exec)
{
	put_int(fields, TAG_OFFSET, (int64_t)exec->input.stream.end);
	put_int(fields, TAG_OFFSET, (int64_t)exec->outputs[0].stream.base);
	put_int(fields, TAG_OFFSET, (int64_t)exec->outputs[1].stream.base);
}

static void list_execs(const struct request *request)
{
	struct field_writer *fields = out_begin(FRAME_OK, request->channel);
	const struct exec *exec;

	for (size_t i = 0; (exec = exec_at(i)); i++) {
		if (exec->dial.dialed)
			continue;
		put_int(fields, TAG_EXEC, exec->channel);
		put_int(fields, TAG_PID, exec->pid);
		put_int(fields, TAG_RUNNING, exec->state != EXEC_ENDED);
		put_int(fields, TAG_EXIT_CODE, exec->exit_code);
		put_int(fields, TAG_EXIT_SIGNAL, exec->exit_signal);
		put_int(fields, TAG_TIMED_OUT, exec->timed_out);
		put_int(fields, TAG_TIMEOUT_MS, timer_left_ms(&exec->timeout));
		put_int(fields, TAG_TTY, exec->tty);
		put_int(fields, TAG_STDIN, exec->tty || exec->input.watch.fd >= 0);
		put_offsets(fields, exec);
		put_bytes(fields, TAG_LABEL, exec->label, exec->label_length);
	}
	out_end();
}

static void attach(const struct request *request)
{
	struct exec *exec = named_exec(request);

	if (!exec)
		return;
	put_offsets(out_begin(FRAME_OK, request->channel), exec);
	out_end();
	exec_attach(exec);
	if (exec->exit_signal == SIGKILL)
		oom_tell_again(exec->pid);
}

static void forget(const struct request *request)
{
	struct exec *exec = named_exec(request);
	struct err err;

	if (!exec)
		return;
	if (exec->state != EXEC_ENDED && !exec->dial.dialed) {
		err_set(&err, ERR_BUSY, 0, "the process is running");
		out_fail(request->channel, &err);
		return;
	}
	exec_forget(exec);
	out_ok(request->channel);
}

static void stats(const struct request *request)
{
	stats_put(out_begin(FRAME_OK, request->channel));
	out_end();
}

static void ports(const struct request *request)
{
	sockets_put(out_begin(FRAME_OK, request->channel));
	out_end();
}

static void health(const struct request *request)
{
	struct field_writer *fields = out_begin(FRAME_OK, request->channel);
	char init[32];

	file_read_line("/proc/1/comm", init, sizeof init);
	put_text(fields, TAG_STATE, state_name(agent.state));
	put_int(fields, TAG_UPTIME_MS, (int64_t)now_ms());
	put_text(fields, TAG_INIT_NAME, init);
	put_int(fields, TAG_EXECS, (int64_t)exec_running());
	put_int(fields, TAG_ROOT_READ_ONLY, stats_root_read_only());
	identity_put_clock(fields);
	out_end();
}

static void shut_down(const struct request *request)
{
	int64_t grace_ms = fields_int(&request->fields, TAG_GRACE_MS, SHUTDOWN_GRACE_MS);
	struct span name = { "poweroff", 8 };
	enum shutdown_mode mode = SHUTDOWN_POWEROFF;
	struct err err;

	fields_span(&request->fields, TAG_MODE, &name);
	if (span_is(name, "reboot")) {
		mode = SHUTDOWN_REBOOT;
	} else if (span_is(name, "halt-now")) {
		mode = SHUTDOWN_NOW;
	} else if (!span_is(name, "poweroff")) {
		err_set(&err, ERR_BAD_REQUEST, 0, "MODE is poweroff, reboot or halt-now");
		out_fail(request->channel, &err);
		return;
	}
	out_ok(request->channel);
	shutdown_begin(mode, grace_ms < 0 ? 0 : (uint64_t)grace_ms);
}

static void grow(const struct request *request)
{
	job_run(request, root_grow, stats_put_blocks, NULL);
}

static void freeze(const struct request *request)
{
	root_will_freeze();
	job_run(request, root_freeze, NULL, root_frozen_in_vain);
}

static void thaw(const struct request *request)
{
	job_run(request, root_thaw, NULL, NULL);
}

static struct pieces pieces;

void verbs_forget(void)
{
	pieces_drop(&pieces);
}

struct verb {
	uint8_t type;
	bool any_state; /* also before CONFIGURE */
	void (*run)(const struct request *request);
};

static const struct verb verbs[] = {
	{ FRAME_PING, true, ping },
	{ FRAME_CONFIGURE, true, configure },
	{ FRAME_EXEC, false, exec_start },
	{ FRAME_SIGNAL, true, signal_exec },
	{ FRAME_RESIZE, true, resize },
	{ FRAME_EXECS, true, list_execs },
	{ FRAME_ATTACH, true, attach },
	{ FRAME_FORGET, true, forget },
	{ FRAME_STATS, true, stats },
	{ FRAME_PORTS, true, ports },
	{ FRAME_HEALTH, true, health },
	{ FRAME_SHUTDOWN, true, shut_down },
	{ FRAME_GROW, false, grow },
	{ FRAME_FREEZE, false, freeze },
	{ FRAME_THAW, false, thaw },
	{ FRAME_REFRESH, true, refresh },
	{ FRAME_DIAL, false, exec_dial },
	{ FRAME_SHARE, false, share },
	{ FRAME_VOLUMES, false, volumes },
	{ FRAME_SECRET, false, secret },
};

static const struct verb *verb_of(uint8_t type)
{
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (verbs[i].type == type)
			return &verbs[i];
	return NULL;
}

static int check(struct frame *frame, const struct verb *verb, struct fields *fields, struct err *err)
{
	if (!verb)
		return err_set(err, ERR_UNKNOWN_VERB, 0, "no verb 0x%02x", frame->type);
	if (frame->channel == 0)
		return err_set(err, ERR_BAD_REQUEST, 0, "channel 0 is not for requests");
	if (exec_find(frame->channel))
		return err_set(err, ERR_BUSY, 0, "channel %u is an exec's", frame->channel);
	/* The others may go on with their fields after their answer. */
	if (pieces.pending && pieces.channel == frame->channel && frame->type != FRAME_EXEC &&
	    frame->type != FRAME_SECRET)
		return err_set(err, ERR_BAD_REQUEST, 0, "MORE is for EXEC and SECRET");
	if (!pieces_join(&pieces, frame))
		return err_set(err, ERR_BAD_REQUEST, 0, "a request has at most %d bytes", REQUEST_MAX);
	if (!fields_parse(fields, frame->payload, frame->length))
		return err_set(err, ERR_BAD_REQUEST, 0, "malformed fields");
	if (!verb->any_state && agent.state == STATE_WAITING)
		return err_set(err, ERR_NOT_CONFIGURED, 0, "waiting for CONFIGURE");
	return 0;
}

void verbs_handle(const struct frame *frame)
{
	struct request request = { .channel = frame->channel };
	struct frame whole = *frame;
	const struct verb *verb;
	struct err err;

	if (frame->type == FRAME_DATA || frame->type == FRAME_EOF || frame->type == FRAME_CREDIT) {
		exec_take(frame);
		return;
	}
	if (frame->type == FRAME_MORE) {
		pieces_add(&pieces, frame);
		return;
	}
	verb = verb_of(frame->type);
	if (check(&whole, verb, &request.fields, &err) < 0)
		out_fail(frame->channel, &err);
	else
		verb->run(&request);
	if (pieces.pending && pieces.channel == frame->channel)
		pieces_drop(&pieces);
}
