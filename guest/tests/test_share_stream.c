#include <string.h>

#include "check.h"
#include "share_stream.h"

static uint8_t buffer[SHARE_WHOLE];
static const char greeting[SHARE_GREETING + 1] = "\xba\x6e" "banger.shares\0" "0123456789abcdef";

static struct share_reader reader_anew(void)
{
	return (struct share_reader){ .buffer = buffer };
}

static void feed(struct share_reader *reader, const void *bytes, size_t length)
{
	size_t room;
	uint8_t *at = share_reader_room(reader, &room);

	CHECK(length <= room);
	memcpy(at, bytes, length);
	share_reader_filled(reader, length);
}

static size_t message_write(uint8_t *at, const char *text, bool whole)
{
	size_t length = strlen(text);

	share_head_write(at, (uint32_t)length, 2, SHARE_FUSE);
	memcpy(at + SHARE_HEAD, text, length);
	memcpy(at + SHARE_HEAD + length, whole ? "\xe0" "end" : "\0\0\0\0", SHARE_TAIL);
	return SHARE_HEAD + length + SHARE_TAIL;
}

static void a_greeting_is_found_behind_anything(void)
{
	struct share_reader reader = reader_anew();
	struct share_message message;

	feed(&reader, "\0\0\0\0of before\xba\x6e" "banger", 21);
	CHECK(share_reader_next(&reader, &message) == SHARE_NOTHING);
	for (size_t i = 0; i < SHARE_GREETING; i++) {
		CHECK(share_reader_next(&reader, &message) == SHARE_NOTHING);
		feed(&reader, greeting + i, 1);
	}
	CHECK(share_reader_next(&reader, &message) == SHARE_MET);
	CHECK(memcmp(reader.greeting, greeting, SHARE_GREETING) == 0);
	CHECK(share_reader_next(&reader, &message) == SHARE_NOTHING);
}

static void messages_come_whole(void)
{
	struct share_reader reader = reader_anew();
	struct share_message message;
	uint8_t bytes[100];
	size_t length = message_write(bytes, "first", true);

	feed(&reader, greeting, SHARE_GREETING);
	CHECK(share_reader_next(&reader, &message) == SHARE_MET);
	length += message_write(bytes + length, "second", true);
	for (size_t i = 0; i < length; i++) {
		feed(&reader, bytes + i, 1);
		if (i == SHARE_HEAD + 5 + SHARE_TAIL - 1) {
			CHECK(share_reader_next(&reader, &message) == SHARE_MESSAGE);
			CHECK(message.mount == 2 && message.kind == SHARE_FUSE && message.length == 5);
			CHECK(memcmp(message.bytes, "first", 5) == 0);
		} else if (i < length - 1) {
			CHECK(share_reader_next(&reader, &message) == SHARE_NOTHING);
		}
	}
	CHECK(share_reader_next(&reader, &message) == SHARE_MESSAGE);
	CHECK(memcmp(message.bytes, "second", 6) == 0);
}

/* A server that was killed while it answered: its successor's silence fills the answer up. */
static void half_an_answer_is_none(void)
{
	struct share_reader reader = reader_anew();
	struct share_message message;
	uint8_t bytes[100];
	size_t length = message_write(bytes, "half a word", false);

	feed(&reader, greeting, SHARE_GREETING);
	CHECK(share_reader_next(&reader, &message) == SHARE_MET);
	feed(&reader, bytes, length);
	feed(&reader, "\0\0\0\0\0\0\0\0\0\0\0\0\0", 13);
	CHECK(share_reader_next(&reader, &message) == SHARE_NOTHING);
	feed(&reader, greeting, SHARE_GREETING);
	CHECK(share_reader_next(&reader, &message) == SHARE_MET);
}

static void a_new_greeting_counts_where_nothing_was_broken_off(void)
{
	struct share_reader reader = reader_anew();
	struct share_message message;
	static const uint8_t silence[1000];

	feed(&reader, greeting, SHARE_GREETING);
	CHECK(share_reader_next(&reader, &message) == SHARE_MET);
	feed(&reader, silence, sizeof silence);
	CHECK(share_reader_next(&reader, &message) == SHARE_NOTHING);
	feed(&reader, greeting, SHARE_GREETING);
	CHECK(share_reader_next(&reader, &message) == SHARE_MET);
	share_reader_part(&reader);
	feed(&reader, "left over", 9);
	CHECK(share_reader_next(&reader, &message) == SHARE_NOTHING);
}

/* There is room for bytes after each SHARE_NOTHING, however long the host says that its message is. */
static void no_message_is_longer_than_the_buffer(void)
{
	struct share_reader reader = reader_anew();
	struct share_message message;
	uint8_t head[SHARE_HEAD];
	size_t room;

	feed(&reader, greeting, SHARE_GREETING);
	CHECK(share_reader_next(&reader, &message) == SHARE_MET);
	share_head_write(head, SHARE_MESSAGE_MAX + 1, 0, SHARE_FUSE);
	feed(&reader, head, sizeof head);
	CHECK(share_reader_next(&reader, &message) == SHARE_NOTHING && !reader.met);
	reader = reader_anew();
	feed(&reader, greeting, SHARE_GREETING);
	CHECK(share_reader_next(&reader, &message) == SHARE_MET);
	share_head_write(head, SHARE_MESSAGE_MAX, 0, SHARE_FUSE);
	feed(&reader, head, sizeof head);
	while (share_reader_next(&reader, &message) == SHARE_NOTHING && reader.met) {
		uint8_t *at = share_reader_room(&reader, &room);

		CHECK(room > 0);
		memset(at, 7, room);
		share_reader_filled(&reader, room);
	}
	CHECK(!reader.met); /* its end was missing */
	share_reader_room(&reader, &room);
	CHECK(room > 0);
}

static void it_is_known_how_much_is_missing(void)
{
	struct share_reader reader = reader_anew();
	struct share_message message;
	uint8_t bytes[100];
	size_t length = message_write(bytes, "first", true);

	CHECK(share_reader_missing(&reader) == 0);
	feed(&reader, greeting, SHARE_GREETING);
	CHECK(share_reader_next(&reader, &message) == SHARE_MET && share_reader_missing(&reader) == 0);
	for (size_t i = 0; i < length; i++) {
		feed(&reader, bytes + i, 1);
		CHECK(share_reader_missing(&reader) == (i + 1 < SHARE_HEAD ? 0 : length - i - 1));
	}
	CHECK(share_reader_next(&reader, &message) == SHARE_MESSAGE);
	feed(&reader, bytes, SHARE_HEAD); /* behind one that was taken */
	CHECK(share_reader_missing(&reader) == length - SHARE_HEAD);
	share_reader_part(&reader);
	CHECK(share_reader_missing(&reader) == 0);
}

void test_share_stream(void)
{
	it_is_known_how_much_is_missing();
	a_greeting_is_found_behind_anything();
	messages_come_whole();
	half_an_answer_is_none();
	a_new_greeting_counts_where_nothing_was_broken_off();
	no_message_is_longer_than_the_buffer();
}
