#include "out.h"

#include <string.h>

#include "wire.h"

enum {
	/* Answers that come later than their request (an exec's start) are not asked for room; all of
	 * them together stay below this. */
	LATE_ROOM = 131072,
	QUEUE_BYTES = 2 * FRAME_WHOLE + LATE_ROOM,
	EVENT_ROOM = 1024,
};

static uint8_t queue[QUEUE_BYTES];
static size_t head, tail;
static struct field_writer writer;
static uint8_t open_type;
static uint32_t open_channel;

void out_clear(void)
{
	head = tail = 0;
}

static bool out_has_room_for(size_t length)
{
	return QUEUE_BYTES - (tail - head) >= length + LATE_ROOM;
}

bool out_has_room(void)
{
	return out_has_room_for(FRAME_WHOLE);
}

size_t out_peek(const uint8_t **at)
{
	*at = queue + head;
	return tail - head;
}

void out_advance(size_t length)
{
	head += length;
	if (head == tail)
		head = tail = 0;
}

void out_pad(void)
{
	memset(queue, 0, FRAME_WHOLE);
	head = 0;
	tail = FRAME_WHOLE;
}

struct field_writer *out_begin(uint8_t type, uint32_t channel)
{
	size_t room;

	if (QUEUE_BYTES - tail < FRAME_WHOLE && head) {
		memmove(queue, queue + head, tail - head);
		tail -= head;
		head = 0;
	}
	room = QUEUE_BYTES - tail;
	room = room < FRAME_HEADER ? 0 : room - FRAME_HEADER;
	open_type = type;
	open_channel = channel;
	writer.buffer = queue + tail + FRAME_HEADER;
	writer.length = 0;
	writer.capacity = room < FRAME_MAX ? room : FRAME_MAX;
	writer.overflow = QUEUE_BYTES - tail < FRAME_HEADER;
	return &writer;
}

void out_end(void)
{
	if (QUEUE_BYTES - tail < FRAME_HEADER)
		return;
	frame_header_write(queue + tail, open_type, 0, open_channel, (uint32_t)writer.length);
	tail += FRAME_HEADER + writer.length;
}

void out_ok(uint32_t channel)
{
	out_begin(FRAME_OK, channel);
	out_end();
}

void out_fail(uint32_t channel, const struct err *err)
{
	struct field_writer *fields = out_begin(FRAME_FAIL, channel);

	put_text(fields, TAG_CODE, err_name(err->code));
	put_int(fields, TAG_ERRNO, err->number);
	put_text(fields, TAG_MESSAGE, err->message);
	out_end();
}

void out_event(const char *code, int number, pid_t pid, const char *message)
{
	struct field_writer *fields;

	if (!out_has_room_for(EVENT_ROOM))
		return;
	fields = out_begin(FRAME_EVENT, 0);
	put_text(fields, TAG_CODE, code);
	put_int(fields, TAG_ERRNO, number);
	put_text(fields, TAG_MESSAGE, message);
	if (pid)
		put_int(fields, TAG_PID, pid);
	out_end();
}
