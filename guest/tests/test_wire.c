#include <string.h>

#include "check.h"
#include "wire.h"

static uint8_t buffer[FRAME_WHOLE];

/* Returns how many bytes fitted. */
static size_t feed(struct frame_reader *reader, const uint8_t *bytes, size_t length)
{
	size_t room;
	uint8_t *at = frame_reader_room(reader, &room);

	if (room > length)
		room = length;
	memcpy(at, bytes, room);
	frame_reader_filled(reader, room);
	return room;
}

/* The bytes of docs/protocol.md, as any other implementation has to make them. */
static void headers_have_the_bytes_of_the_document(void)
{
	static const uint8_t ping[] = { 0x6e, 0xba, 0x20, 0, 1, 0, 0, 0,
					0,    0,    0,    0, 0, 0, 0, 0 };
	uint8_t header[FRAME_HEADER];

	CHECK(crc32_ieee((const uint8_t *)"123456789", 9) == 0xCBF43926);
	CHECK(crc32_ieee(NULL, 0) == 0);
	frame_header_write(header, FRAME_PING, 0, 1, 0);
	CHECK(memcmp(header, ping, 12) == 0);
	CHECK(load32(header + 12) == crc32_ieee(ping, 12));
}

static void headers_that_are_wrong_are_refused(void)
{
	static const struct {
		size_t offset;
		uint8_t change;
		bool seal; /* with a checksum that is right */
	} table[] = {
		{ 0, 0x01, true },  { 1, 0x80, true },  { 2, 0x01, false }, { 4, 0xFF, false },
		{ 10, 0x04, true }, { 11, 0x80, true }, { 12, 0x01, false }, { 15, 0x80, false },
	};
	struct frame frame;

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		uint8_t header[FRAME_HEADER];

		frame_header_write(header, FRAME_DATA, 1, 7, 1);
		CHECK(frame_header_parse(header, &frame));
		header[table[i].offset] ^= table[i].change;
		if (table[i].seal)
			store32(header + 12, crc32_ieee(header, 12));
		CHECK(!frame_header_parse(header, &frame));
	}
}

static void frames_come_out_of_single_bytes(void)
{
	struct frame_reader reader = { .buffer = buffer };
	uint8_t bytes[FRAME_HEADER + 5];
	struct frame frame;

	frame_header_write(bytes, FRAME_DATA, 2, 0xDEADBEEF, 5);
	memcpy(bytes + FRAME_HEADER, "hello", 5);
	for (size_t i = 0; i < sizeof bytes; i++) {
		CHECK(!frame_reader_next(&reader, &frame));
		feed(&reader, bytes + i, 1);
	}
	CHECK(frame_reader_next(&reader, &frame));
	CHECK(frame.type == FRAME_DATA && frame.flags == 2 && frame.channel == 0xDEADBEEF);
	CHECK(frame.length == 5 && memcmp(frame.payload, "hello", 5) == 0);
	CHECK(!frame_reader_next(&reader, &frame));
}

static void the_longest_frame_fits_behind_another(void)
{
	struct frame_reader reader = { .buffer = buffer };
	uint8_t header[FRAME_HEADER], zeros[4096] = { 0 };
	struct frame frame;

	frame_header_write(header, FRAME_PING, 0, 1, 0);
	feed(&reader, header, sizeof header);
	frame_header_write(header, FRAME_EXEC, 0, 2, FRAME_MAX);
	feed(&reader, header, sizeof header);
	CHECK(frame_reader_next(&reader, &frame) && frame.channel == 1);
	for (size_t at = 0; at < FRAME_MAX;) {
		size_t left = FRAME_MAX - at;

		CHECK(!frame_reader_next(&reader, &frame));
		at += feed(&reader, zeros, left < sizeof zeros ? left : sizeof zeros);
	}
	CHECK(frame_reader_next(&reader, &frame) && frame.channel == 2 && frame.length == FRAME_MAX);
}

static void zeros_complete_a_frame_that_was_cut_off(void)
{
	struct frame_reader reader = { .buffer = buffer };
	uint8_t header[FRAME_HEADER], hello[FRAME_HEADER], zeros[10000] = { 0 };
	struct frame frame;
	int seen = 0;

	frame_header_write(header, FRAME_EXEC, 0, 9, FRAME_MAX);
	frame_header_write(hello, FRAME_HELLO, 0, 0, 0);
	feed(&reader, header, sizeof header);
	feed(&reader, hello, sizeof hello); /* swallowed by the half frame */
	for (size_t at = 0; at < FRAME_WHOLE;) {
		size_t left = FRAME_WHOLE - at;

		at += feed(&reader, zeros, left < sizeof zeros ? left : sizeof zeros);
		while (frame_reader_next(&reader, &frame))
			CHECK(frame.type == FRAME_EXEC && !seen++);
	}
	feed(&reader, hello, sizeof hello);
	CHECK(frame_reader_next(&reader, &frame) && frame.type == FRAME_HELLO && seen == 1);
}

static void garbage_before_a_frame_is_skipped(void)
{
	struct frame_reader reader = { .buffer = buffer };
	uint8_t header[FRAME_HEADER];
	struct frame frame;

	feed(&reader, (const uint8_t *)"\x6e\xba\x6e\x6e\xba\x20\x00 junk \x6e", 14);
	frame_header_write(header, FRAME_PING, 0, 3, 0);
	feed(&reader, header, sizeof header);
	CHECK(frame_reader_next(&reader, &frame) && frame.channel == 3);
}

static void it_is_known_how_much_is_missing(void)
{
	struct frame_reader reader = { .buffer = buffer };
	uint8_t bytes[FRAME_HEADER + 10] = { 0 };
	struct frame frame;

	frame_header_write(bytes, FRAME_DATA, 1, 7, 10);
	for (size_t i = 0; i < sizeof bytes; i++) {
		feed(&reader, bytes + i, 1);
		CHECK(frame_reader_missing(&reader) == (i + 1 < FRAME_HEADER ? 0 : sizeof bytes - i - 1));
	}
	CHECK(frame_reader_next(&reader, &frame) && frame_reader_missing(&reader) == 0);
	feed(&reader, (const uint8_t *)"this is no header", 17);
	CHECK(frame_reader_missing(&reader) == 0);
}

void test_wire(void)
{
	it_is_known_how_much_is_missing();
	headers_have_the_bytes_of_the_document();
	headers_that_are_wrong_are_refused();
	frames_come_out_of_single_bytes();
	the_longest_frame_fits_behind_another();
	zeros_complete_a_frame_that_was_cut_off();
	garbage_before_a_frame_is_skipped();
}
