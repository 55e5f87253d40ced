#include <string.h>

#include "check.h"
#include "stream.h"
#include "wire.h"

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 131 >> 3);
}

static size_t take_in(struct stream *stream, size_t want)
{
	uint8_t *at;
	bool starved;
	size_t room = stream_reserve(stream, want, &at, &starved);

	CHECK(!starved && room <= want);
	for (size_t i = 0; i < room; i++)
		at[i] = byte_at(stream->end + i);
	stream_commit(stream, room);
	return room;
}

static void a_full_window_takes_nothing(void)
{
	struct stream stream = { 0 };

	while (take_in(&stream, 10000))
		;
	CHECK(stream_held(&stream) == STREAM_WINDOW && stream.capacity == STREAM_WINDOW);
	CHECK(!stream_release(&stream, 1)); /* not sent yet */
	stream.sent = 100;
	CHECK(!stream_release(&stream, 101));
	CHECK(stream_release(&stream, 100) && take_in(&stream, 1000) == 100);
	CHECK(!stream_release(&stream, 99)); /* credit does not go back */
	stream_free(&stream);
}

static void an_empty_stream_has_no_memory(void)
{
	struct stream stream = { 0 };

	CHECK(take_in(&stream, 5) == 5 && stream.ring);
	stream.sent = 5;
	CHECK(stream_release(&stream, 5) && !stream.ring && !stream.capacity);
	stream_pass(&stream, 7);
	CHECK(stream.base == 12 && stream.end == 12 && !stream.ring);
	CHECK(take_in(&stream, 1) == 1);
	stream_free(&stream);
}

static void bytes_come_out_as_they_went_in(void)
{
	struct stream stream = { 0 };
	uint64_t state = 4711;

	for (int round = 0; round < 20000; round++) {
		const uint8_t *at;
		size_t length;

		take_in(&stream, draw(&state) % (draw(&state) % 8 ? 300 : 20000));
		length = stream_peek(&stream, stream.sent, &at);
		if (length > draw(&state) % 9000)
			length /= 2;
		for (size_t i = 0; i < length; i++)
			CHECK(at[i] == byte_at(stream.sent + i));
		stream.sent += length;
		if (draw(&state) % 3)
			CHECK(stream_release(&stream, stream.base +
							      (stream.sent - stream.base) *
								      (draw(&state) % 5) / 4));
		CHECK(stream_held(&stream) <= STREAM_WINDOW && stream.sent <= stream.end);
	}
	stream_free(&stream);
}

void test_stream(void)
{
	a_full_window_takes_nothing();
	an_empty_stream_has_no_memory();
	bytes_come_out_as_they_went_in();
}
