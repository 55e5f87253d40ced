#include <string.h>

#include "check.h"
#include "pieces.h"

static uint8_t large[FRAME_MAX];

static struct frame frame_of(uint32_t channel, const void *payload, uint32_t length)
{
	return (struct frame){ .channel = channel, .payload = payload, .length = length };
}

static void add(struct pieces *pieces, uint32_t channel, const char *text)
{
	struct frame frame = frame_of(channel, text, (uint32_t)strlen(text));

	pieces_add(pieces, &frame);
}

static void pieces_of_one_channel_are_joined(void)
{
	struct pieces pieces = { 0 };
	struct frame last = frame_of(7, "ef", 2);

	add(&pieces, 7, "ab");
	add(&pieces, 7, "");
	add(&pieces, 7, "cd");
	CHECK(pieces_join(&pieces, &last));
	CHECK(last.length == 6 && memcmp(last.payload, "abcdef", 6) == 0);
	pieces_drop(&pieces);
	last = frame_of(7, "ef", 2);
	CHECK(pieces_join(&pieces, &last) && last.length == 2);
}

static void those_of_another_channel_are_not(void)
{
	struct pieces pieces = { 0 };
	struct frame other = frame_of(9, "x", 1), last = frame_of(7, "y", 1);

	add(&pieces, 7, "ab");
	CHECK(pieces_join(&pieces, &other) && other.length == 1);
	add(&pieces, 9, "cd");
	CHECK(pieces_join(&pieces, &last) && last.length == 1);
	pieces_drop(&pieces);
}

static void too_much_is_lost_as_a_whole(void)
{
	struct pieces pieces = { 0 };
	struct frame piece = frame_of(7, large, sizeof large), last = frame_of(7, "y", 1);

	for (size_t held = 0; held < REQUEST_MAX; held += sizeof large)
		pieces_add(&pieces, &piece);
	CHECK(!pieces.lost && pieces.length == REQUEST_MAX);
	CHECK(!pieces_join(&pieces, &last));
	last = frame_of(7, "", 0);
	CHECK(!pieces_join(&pieces, &last));
	pieces_drop(&pieces);
}

void test_pieces(void)
{
	pieces_of_one_channel_are_joined();
	those_of_another_channel_are_not();
	too_much_is_lost_as_a_whole();
}
