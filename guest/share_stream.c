#include "share_stream.h"

#include <string.h>

#include "wire.h"

static const uint8_t magic[SHARE_MAGIC] = "\xba\x6e" "banger.shares";
static const uint8_t tail[SHARE_TAIL] = { 0xe0, 'e', 'n', 'd' };

void share_reader_part(struct share_reader *reader)
{
	reader->start = reader->end = 0;
	reader->met = false;
}

uint8_t *share_reader_room(struct share_reader *reader, size_t *room)
{
	/* Not for each piece of a long message: it may come in a hundred. */
	if (reader->start) {
		memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
		reader->end -= reader->start;
		reader->start = 0;
	}
	*room = SHARE_WHOLE - reader->end;
	return reader->buffer + reader->end;
}

void share_reader_filled(struct share_reader *reader, size_t length)
{
	reader->end += length;
}

size_t share_reader_missing(const struct share_reader *reader)
{
	size_t have = reader->end - reader->start, whole;

	if (!reader->met || have < SHARE_HEAD)
		return 0;
	whole = SHARE_HEAD + load32(reader->buffer + reader->start) + SHARE_TAIL;
	return whole > have ? whole - have : 0;
}

static enum share_found hunt(struct share_reader *reader)
{
	const uint8_t *at = reader->buffer + reader->start;
	size_t length = reader->end - reader->start;
	const uint8_t *found = memmem(at, length, magic, SHARE_MAGIC);

	if (!found) {
		/* The end may be the beginning of a greeting. */
		reader->start = length < SHARE_MAGIC ? reader->start : reader->end - SHARE_MAGIC + 1;
		return SHARE_NOTHING;
	}
	reader->start += (size_t)(found - at);
	if (reader->end - reader->start < SHARE_GREETING)
		return SHARE_NOTHING;
	memcpy(reader->greeting, found, SHARE_GREETING);
	reader->start += SHARE_GREETING;
	reader->met = true;
	return SHARE_MET;
}

enum share_found share_reader_next(struct share_reader *reader, struct share_message *message)
{
	const uint8_t *at = reader->buffer + reader->start;
	size_t length = reader->end - reader->start;

	if (!reader->met)
		return hunt(reader);
	if (length < SHARE_HEAD)
		return SHARE_NOTHING;
	message->length = load32(at);
	message->mount = load16(at + 4);
	message->kind = load16(at + 6);
	if (!message->length || message->length > SHARE_MESSAGE_MAX) {
		reader->met = false;
		return hunt(reader);
	}
	if (length < SHARE_HEAD + message->length + SHARE_TAIL)
		return SHARE_NOTHING;
	if (memcmp(at + SHARE_HEAD + message->length, tail, SHARE_TAIL) != 0) {
		reader->met = false;
		return hunt(reader);
	}
	message->bytes = at + SHARE_HEAD;
	reader->start += SHARE_HEAD + message->length + SHARE_TAIL;
	return SHARE_MESSAGE;
}

void share_head_write(uint8_t *at, uint32_t length, uint16_t mount, uint16_t kind)
{
	store32(at, length);
	store16(at + 4, mount);
	store16(at + 6, kind);
}
