#include "session.h"

#include <stddef.h>
#include <sys/utsname.h>
#include <time.h>

#include "agent.h"
#include "exec.h"
#include "fields.h"
#include "loop.h"
#include "oom.h"
#include "out.h"
#include "pieces.h"
#include "port.h"
#include "root.h"
#include "verbs.h"
#include "wire.h"

enum {
	READS_A_ROUND = 16,
	/* One write to the port at most, so that an answer never waits for more than this. */
	STAGE_BYTES = 65536,
	/* Of a frame of which this much is to come it does not wait for the next piece, but for many. */
	NAP_FROM = 16384,
	NAP_NS_PER_BYTE = 8,
};

static uint8_t reader_buffer[FRAME_WHOLE];
static struct frame_reader reader = { .buffer = reader_buffer };

/* Stream frames that are being written; cut off the execs' buffers only when the port takes them. */
static uint8_t stage[STAGE_BYTES];
static size_t stage_at, stage_length;

static uint32_t number;
static bool greeted;
/* A host that takes over a guest asks for its EXECS first, and hears of no event before it knows
 * them. */
static bool hears;

uint32_t session_number(void)
{
	return number;
}

bool session_greeted(void)
{
	return greeted;
}

static void drop_half_frames(void)
{
	stage_at = stage_length = 0;
	out_clear();
}

/* Whoever was there has gone: execs wait for the next, and a root that was frozen for them thaws. */
static void leave_host(void)
{
	struct err err;

	greeted = hears = false;
	number++;
	drop_half_frames();
	verbs_forget();
	exec_detach_all();
	root_thaw_own(&err);
}

static void session_end(void)
{
	frame_reader_reset(&reader);
	leave_host();
}

static void hello(const struct frame *frame)
{
	struct fields fields;
	struct span nonce;
	struct utsname system;
	struct err err;

	leave_host();
	if (!fields_parse(&fields, frame->payload, frame->length) ||
	    !fields_span(&fields, TAG_NONCE, &nonce) || nonce.length != NONCE_BYTES) {
		err_set(&err, ERR_BAD_REQUEST, 0, "malformed HELLO");
		out_fail(0, &err);
		return;
	}
	if (fields_int(&fields, TAG_VERSION_MIN, 0) > PROTOCOL_VERSION ||
	    fields_int(&fields, TAG_VERSION_MAX, 0) < PROTOCOL_VERSION) {
		err_set(&err, ERR_VERSION, 0, "this agent speaks version %d", PROTOCOL_VERSION);
		out_fail(0, &err);
		return;
	}
	greeted = true;
	uname(&system);
	struct field_writer *welcome = out_begin(FRAME_WELCOME, 0);
	put_bytes(welcome, TAG_NONCE, nonce.data, nonce.length);
	put_int(welcome, TAG_VERSION, PROTOCOL_VERSION);
	put_text(welcome, TAG_AGENT, AGENT_VERSION);
	put_bytes(welcome, TAG_BOOT, agent.boot_id, sizeof agent.boot_id);
	put_text(welcome, TAG_STATE, state_name(agent.state));
	put_text(welcome, TAG_KERNEL, system.release);
	put_int(welcome, TAG_UPTIME_MS, (int64_t)now_ms());
	put_int(welcome, TAG_REQUEST_MAX, REQUEST_MAX);
	out_end();
}

void session_begin_anew(void)
{
	struct err err;

	session_end();
	root_thaw(&err); /* whatever the one before had frozen it for */
	out_pad();
	out_begin(FRAME_RESTARTED, 0);
	out_end();
}

static void handle(const struct frame *frame)
{
	if (frame->type == FRAME_HELLO) {
		hello(frame);
	} else if (greeted) {
		hears |= frame->type != FRAME_EXECS;
		verbs_handle(frame);
	}
}

static bool handle_frames(void)
{
	struct frame frame;

	for (;;) {
		if (!out_has_room())
			return false;
		if (!frame_reader_next(&reader, &frame))
			return true;
		handle(&frame);
	}
}

static void take_in(void)
{
	if (!handle_frames())
		return;
	for (int i = 0; i < READS_A_ROUND && port.readable; i++) {
		size_t room;
		uint8_t *at = frame_reader_room(&reader, &room);
		ssize_t got = port_read(at, room);

		if (got < 0) {
			session_end();
			return;
		}
		frame_reader_filled(&reader, (size_t)got);
		if (!handle_frames())
			return;
	}
}

static void give_out(void)
{
	while (port.writable) {
		const uint8_t *at = stage + stage_at;
		size_t length = stage_length - stage_at;
		bool staged = length > 0;

		/* Answers go before streams, but never into the middle of a frame. */
		if (!staged)
			length = out_peek(&at);
		/* Why an exec ended is told before its end. */
		if (!length && hears && oom_tell())
			continue;
		if (!length && greeted) {
			stage_at = 0;
			stage_length = exec_fill(stage, STAGE_BYTES);
			if (stage_length)
				continue;
		}
		if (!length)
			return;
		ssize_t written = port_write(at, length);
		if (written <= 0)
			return;
		if (staged)
			stage_at += (size_t)written;
		else
			out_advance((size_t)written);
	}
}

/* As in share_pump.c. */
static void nap(void)
{
	static size_t missed;
	size_t missing = port.readable ? 0 : frame_reader_missing(&reader);
	struct timespec time = { .tv_nsec = (long)missing * NAP_NS_PER_BYTE };
	bool moved = missing != missed;

	missed = missing;
	if (missing < NAP_FROM || !moved)
		return;
	nanosleep(&time, NULL);
	port.readable = true;
}

void session_round(void)
{
	bool had_room;

	take_in();
	had_room = out_has_room();
	give_out();
	nap();
	/* Edges are told once: what was left over is remembered here, not by the kernel. */
	if (port.readable ? out_has_room() : !had_room && out_has_room())
		loop_hurry();
}

bool session_flushed(void)
{
	const uint8_t *at;

	return !greeted || (stage_at == stage_length && out_peek(&at) == 0);
}
