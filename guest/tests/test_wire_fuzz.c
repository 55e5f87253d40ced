/* Frames, garbage and damaged frames in pieces of any size. Whole frames that follow one another
 * must all come out; the reader must never leave its buffer (the sanitizers watch). */

#include <string.h>

#include "check.h"
#include "fields.h"
#include "wire.h"

enum { ROUNDS = 3000, STREAM_MAX = 65536, FRAMES_MAX = 40 };

static uint8_t buffer[FRAME_WHOLE];
static uint8_t bytes[STREAM_MAX];

static size_t add_frame(uint8_t *at, uint64_t *state, uint32_t channel, size_t room)
{
	uint32_t length = draw(state) % (draw(state) % 8 ? 64 : 4096);

	if (room < FRAME_HEADER + (size_t)length)
		return 0;
	frame_header_write(at, (uint8_t)draw(state), (uint8_t)draw(state), channel, length);
	for (uint32_t i = 0; i < length; i++)
		at[FRAME_HEADER + i] = (uint8_t)(draw(state) % 3 ? draw(state) : 0x6e);
	return FRAME_HEADER + length;
}

static void use_fields(const struct frame *frame)
{
	struct fields fields;
	struct field field;
	char text[32];

	if (!fields_parse(&fields, frame->payload, frame->length))
		return;
	fields_int(&fields, TAG_EXEC, 0);
	fields_text(&fields, TAG_USER, text, sizeof text);
	while (fields_next(&fields, &field))
		CHECK(field.value.length <= frame->length);
}

/* Feeds the stream in pieces; returns how many frames came, in ascending order of channels. */
static int run(size_t length, uint64_t *state, bool whole)
{
	struct frame_reader reader = { .buffer = buffer };
	size_t at = 0;
	int seen = 0;

	while (at < length) {
		size_t room, piece = 1 + draw(state) % (draw(state) % 4 ? 100 : 5000);
		uint8_t *to = frame_reader_room(&reader, &room);
		struct frame frame;

		if (piece > room)
			piece = room;
		if (piece > length - at)
			piece = length - at;
		memcpy(to, bytes + at, piece);
		frame_reader_filled(&reader, piece);
		at += piece;
		while (frame_reader_next(&reader, &frame)) {
			CHECK(frame.length <= FRAME_MAX);
			CHECK(frame.payload >= buffer && frame.payload + frame.length <= buffer + FRAME_WHOLE);
			CHECK(!whole || frame.channel == (uint32_t)seen);
			use_fields(&frame);
			seen++;
		}
	}
	return seen;
}

void test_wire_fuzz(void)
{
	uint64_t state = 0x62616e676572;

	for (int round = 0; round < ROUNDS; round++) {
		size_t used = 0;
		uint32_t frames = 0;
		bool damage = round % 2;

		while (frames < FRAMES_MAX) {
			size_t length = add_frame(bytes + used, &state, frames, STREAM_MAX - used);

			if (!length)
				break;
			used += length;
			frames++;
		}
		for (int i = 0; damage && i < 20; i++)
			bytes[draw(&state) % used] = (uint8_t)draw(&state);
		int seen = run(used, &state, !damage);
		CHECK(damage || seen == (int)frames);
	}
}
