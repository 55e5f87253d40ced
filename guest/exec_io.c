#include "exec_io.h"

#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

#include "fd.h"

enum {
	READ_BYTES = 65536,
	READS_A_TURN = 4,
	/* Smaller pieces than this are not squeezed into the end of a write. */
	PIECE_MIN = 4096,
	/* Consumed input is reported in steps of this, or when there is none left. */
	CREDIT_STEP = 32768,
	/* What a terminal may hold back when its session has ended. */
	TTY_DRAIN = 65536,
	OFFSET_BYTES = 8,
	STARVED_MS = 100,
};

static void starved_fired(struct timer *timer);
static struct timer starved = { .fired = starved_fired };

static void starved_fired(struct timer *timer)
{
	(void)timer;
	for (size_t i = 0; exec_at(i); i++)
		exec_io_resume(exec_at(i));
}

static void input_credit(struct exec *exec)
{
	struct input *input = &exec->input;
	uint64_t owed = input->stream.base - input->credited;

	if (owed >= CREDIT_STEP || (owed && !stream_held(&input->stream)))
		input->credit_due = true;
}

/* A connection ends with its two directions; a process ends by itself. */
static void settle(struct exec *exec)
{
	if (exec->dial.dialed && exec->state == EXEC_RUNNING && exec->input.watch.fd < 0 &&
	    exec->outputs[0].watch.fd < 0)
		exec->state = EXEC_ENDED;
}

/* The process at the other side of a socket is gone before it has heard or said all. */
static void note_reset(struct exec *exec)
{
	if (exec->dial.dialed)
		exec->exit_code = DIAL_BROKEN;
}

void input_close(struct exec *exec)
{
	struct stream *stream = &exec->input.stream;

	/* The other descriptor of the socket stays. */
	if (exec->dial.dialed && exec->input.watch.fd >= 0)
		shutdown(exec->input.watch.fd, SHUT_WR);
	watch_close(&exec->input.watch);
	/* What nobody will read counts as consumed: the host must not wait for it. */
	stream_free(stream);
	stream->base = stream->sent = stream->end;
	input_credit(exec);
	settle(exec);
}

static void input_finish(struct exec *exec)
{
	struct termios settings;
	int fd = exec->input.watch.fd;

	if (fd < 0)
		return;
	if (!exec->tty) {
		input_close(exec);
		return;
	}
	/* A terminal cannot be closed from one side. Its end-of-file character is what a person
	 * would type. */
	if (tcgetattr(fd, &settings) == 0 && (settings.c_lflag & ICANON) &&
	    write(fd, &settings.c_cc[VEOF], 1) < 0)
		return;
}

/* Returns how much was written; 0 if the process takes none now or never will. */
static size_t input_write(struct exec *exec, const uint8_t *at, size_t length)
{
	ssize_t written = write(exec->input.watch.fd, at, length);

	if (written >= 0)
		return (size_t)written;
	if (errno != EAGAIN && errno != EINTR) {
		note_reset(exec);
		input_close(exec);
	}
	return 0;
}

static void input_flush(struct exec *exec)
{
	struct input *input = &exec->input;
	struct stream *stream = &input->stream;
	const uint8_t *at;
	size_t length;

	while (input->watch.fd >= 0 && (length = stream_peek(stream, stream->base, &at))) {
		size_t written = input_write(exec, at, length);

		if (!written)
			break;
		stream->sent = stream->base + written;
		stream_release(stream, stream->sent);
	}
	input_credit(exec);
	if (input->watch.fd >= 0)
		watch_set(&input->watch, stream_held(stream) ? EPOLLOUT : 0);
	if (!stream_held(stream) && input->eof)
		input_finish(exec);
}

void input_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	input_flush(watch->owner);
}

static void input_take(struct exec *exec, uint64_t offset, const uint8_t *at, size_t length)
{
	struct input *input = &exec->input;
	struct stream *stream = &input->stream;

	/* After a resync bytes may come twice; a gap can only be a mistake of the host. */
	if (input->eof || offset > stream->end || stream->end - offset >= length)
		return;
	at += stream->end - offset;
	length -= (size_t)(stream->end - offset);
	if (input->watch.fd >= 0 && !stream_held(stream)) {
		size_t written = input_write(exec, at, length);

		stream_pass(stream, written);
		at += written;
		length -= written;
	}
	if (input->watch.fd < 0)
		stream_pass(stream, length);
	while (input->watch.fd >= 0 && length) {
		uint8_t *to;
		bool no_memory;
		size_t piece = stream_reserve(stream, length, &to, &no_memory);

		if (!piece)
			break; /* beyond its window: the host does not keep the rules */
		memcpy(to, at, piece);
		stream_commit(stream, piece);
		at += piece;
		length -= piece;
	}
	if (input->watch.fd >= 0 && stream_held(stream))
		watch_set(&input->watch, EPOLLOUT);
	input_credit(exec);
}

static void input_end(struct exec *exec, uint64_t offset)
{
	struct input *input = &exec->input;

	if (input->eof || offset != input->stream.end)
		return;
	input->eof = true;
	if (!stream_held(&input->stream))
		input_finish(exec);
}

void output_close(struct exec *exec, struct output *output)
{
	watch_close(&output->watch);
	settle(exec);
}

/* A reset ends both directions, and is told by the exit alone, lest it pass for the end of all bytes. */
static void output_broken(struct exec *exec, struct output *output)
{
	note_reset(exec);
	output->eof_sent = exec->dial.dialed;
	output_close(exec, output);
	if (exec->dial.dialed)
		input_close(exec);
}

static void output_pump(struct exec *exec, struct output *output)
{
	bool draining = exec->state == EXEC_ENDED;

	for (int i = 0; i < READS_A_TURN || draining; i++) {
		uint8_t *at;
		bool no_memory;
		size_t room;
		ssize_t got;

		if (draining && output->drain_left == 0) {
			output_close(exec, output);
			return;
		}
		room = stream_reserve(&output->stream, READ_BYTES, &at, &no_memory);
		if (draining && room > output->drain_left)
			room = output->drain_left;
		if (!room) {
			/* A full window; the next credit goes on. */
			watch_set(&output->watch, 0);
			if (no_memory && !starved.armed)
				timer_arm(&starved, STARVED_MS);
			return;
		}
		got = read(output->watch.fd, at, room);
		if (got > 0) {
			stream_commit(&output->stream, (size_t)got);
			if (draining)
				output->drain_left -= (size_t)got;
			continue;
		}
		if (!stream_held(&output->stream))
			stream_free(&output->stream);
		if (got < 0 && errno == EINTR)
			continue;
		/* EIO is how a terminal says that nobody is left on its other side. */
		if (got == 0 || draining)
			output_close(exec, output);
		else if (errno != EAGAIN)
			output_broken(exec, output);
		return;
	}
}

void output_ready(struct watch *watch, uint32_t events)
{
	struct exec *exec = watch->owner;

	(void)events;
	output_pump(exec, &exec->outputs[watch == &exec->outputs[1].watch]);
}

void output_drain(struct exec *exec, struct output *output)
{
	int held = 0;

	if (output->watch.fd < 0)
		return;
	if (exec->tty)
		held = TTY_DRAIN;
	else if (ioctl(output->watch.fd, FIONREAD, &held) < 0 || held < 0)
		held = 0;
	output->drain_left = (size_t)held;
	output_pump(exec, output);
}

void exec_io_resume(struct exec *exec)
{
	for (int i = 0; i < 2; i++) {
		struct output *output = &exec->outputs[i];

		if (output->watch.fd < 0 || output->watch.events)
			continue;
		if (exec->state == EXEC_ENDED)
			output_pump(exec, output);
		else if (!watch_set(&output->watch, EPOLLIN) && !starved.armed)
			timer_arm(&starved, STARVED_MS);
	}
}

void exec_io_take(struct exec *exec, const struct frame *frame)
{
	uint64_t offset;

	if (frame->length < OFFSET_BYTES)
		return;
	offset = load64(frame->payload);
	if (frame->type == FRAME_CREDIT) {
		if (frame->flags != STREAM_STDOUT && frame->flags != STREAM_STDERR)
			return;
		if (stream_release(&exec->outputs[frame->flags - 1].stream, offset))
			exec_io_resume(exec);
		return;
	}
	if (frame->flags != STREAM_STDIN)
		return;
	if (frame->type == FRAME_EOF)
		input_end(exec, offset);
	else if (frame->length - OFFSET_BYTES <= STREAM_DATA_MAX)
		input_take(exec, offset, frame->payload + OFFSET_BYTES, frame->length - OFFSET_BYTES);
}

static size_t emit_offset(uint8_t *at, uint8_t type, int stream, uint32_t channel, uint64_t offset)
{
	frame_header_write(at, type, (uint8_t)stream, channel, OFFSET_BYTES);
	store64(at + FRAME_HEADER, offset);
	return FRAME_HEADER + OFFSET_BYTES;
}

static size_t emit_data(struct exec *exec, int index, uint8_t *at, size_t room)
{
	struct stream *stream = &exec->outputs[index].stream;
	const uint8_t *from;
	size_t left = (size_t)(stream->end - stream->sent);
	size_t head = FRAME_HEADER + OFFSET_BYTES;
	size_t length = stream_peek(stream, stream->sent, &from);

	if (room < head + (left < PIECE_MIN ? left : PIECE_MIN))
		return 0;
	if (length > room - head)
		length = room - head;
	if (length > STREAM_DATA_MAX)
		length = STREAM_DATA_MAX;
	frame_header_write(at, FRAME_DATA, (uint8_t)(index + 1), exec->channel,
			   (uint32_t)(OFFSET_BYTES + length));
	store64(at + FRAME_HEADER, stream->sent);
	memcpy(at + head, from, length);
	stream->sent += length;
	return head + length;
}

static size_t emit_exit(struct exec *exec, uint8_t *at, size_t room)
{
	struct field_writer fields = { .buffer = at + FRAME_HEADER, .capacity = room - FRAME_HEADER };

	put_int(&fields, TAG_EXIT_CODE, exec->exit_code);
	put_int(&fields, TAG_EXIT_SIGNAL, exec->exit_signal);
	put_int(&fields, TAG_TIMED_OUT, exec->timed_out);
	if (fields.overflow)
		return 0;
	frame_header_write(at, FRAME_EXIT, 0, exec->channel, (uint32_t)fields.length);
	exec->exit_sent = true;
	return FRAME_HEADER + fields.length;
}

static bool outputs_told(const struct exec *exec)
{
	for (int i = 0; i < 2; i++)
		if (!exec->outputs[i].eof_sent || exec->outputs[i].stream.sent < exec->outputs[i].stream.end)
			return false;
	return true;
}

bool exec_io_pending(const struct exec *exec)
{
	if (!exec->attached || exec->state == EXEC_STARTING)
		return false;
	for (int i = 0; i < 2; i++) {
		const struct output *output = &exec->outputs[i];

		if (output->stream.sent < output->stream.end ||
		    (output->watch.fd < 0 && !output->eof_sent))
			return true;
	}
	return exec->input.credit_due ||
	       (exec->state == EXEC_ENDED && outputs_told(exec) && !exec->exit_sent);
}

size_t exec_io_emit(struct exec *exec, uint8_t *at, size_t room)
{
	size_t used = 0;

	if (!exec_io_pending(exec) || room < FRAME_HEADER + OFFSET_BYTES)
		return 0;
	if (exec->input.credit_due) {
		exec->input.credit_due = false;
		exec->input.credited = exec->input.stream.base;
		used += emit_offset(at, FRAME_CREDIT, STREAM_STDIN, exec->channel,
				    exec->input.credited);
	}
	for (int i = 0; i < 2; i++) {
		struct output *output = &exec->outputs[i];

		if (output->stream.sent < output->stream.end)
			used += emit_data(exec, i, at + used, room - used);
		if (output->stream.sent < output->stream.end || output->watch.fd >= 0 ||
		    output->eof_sent || room - used < FRAME_HEADER + OFFSET_BYTES)
			continue;
		used += emit_offset(at + used, FRAME_EOF, i + 1, exec->channel, output->stream.end);
		output->eof_sent = true;
	}
	if (exec->state == EXEC_ENDED && outputs_told(exec) && !exec->exit_sent &&
	    room - used >= FRAME_HEADER)
		used += emit_exit(exec, at + used, room - used);
	return used;
}
