#include "wire.h"

#include <string.h>

enum {
	MAGIC = 0xBA6E,
	MAGIC_FIRST_BYTE = MAGIC & 0xFF,
	CHECKED_BYTES = 12,
	/* Moving what is left to the front costs a copy; not moving it touches more memory. */
	COMPACT_FROM = 65536,
};

uint16_t load16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

uint32_t load32(const uint8_t *at)
{
	return (uint32_t)load16(at) | (uint32_t)load16(at + 2) << 16;
}

uint64_t load64(const uint8_t *at)
{
	return (uint64_t)load32(at) | (uint64_t)load32(at + 4) << 32;
}

void store16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
}

void store32(uint8_t *at, uint32_t value)
{
	store16(at, (uint16_t)value);
	store16(at + 2, (uint16_t)(value >> 16));
}

void store64(uint8_t *at, uint64_t value)
{
	store32(at, (uint32_t)value);
	store32(at + 4, (uint32_t)(value >> 32));
}

/* Only headers are summed, twelve bytes at a time: a table of 16 words is enough. */
uint32_t crc32_ieee(const uint8_t *bytes, size_t length)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = 0xFFFFFFFF;

	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

void frame_header_write(uint8_t *at, uint8_t type, uint8_t flags, uint32_t channel, uint32_t length)
{
	store16(at, MAGIC);
	at[2] = type;
	at[3] = flags;
	store32(at + 4, channel);
	store32(at + 8, length);
	store32(at + 12, crc32_ieee(at, CHECKED_BYTES));
}

bool frame_header_parse(const uint8_t *at, struct frame *frame)
{
	if (load16(at) != MAGIC || load32(at + 8) > FRAME_MAX)
		return false;
	if (load32(at + 12) != crc32_ieee(at, CHECKED_BYTES))
		return false;
	frame->type = at[2];
	frame->flags = at[3];
	frame->channel = load32(at + 4);
	frame->length = load32(at + 8);
	return true;
}

void frame_reader_reset(struct frame_reader *reader)
{
	reader->start = reader->end = 0;
}

uint8_t *frame_reader_room(struct frame_reader *reader, size_t *room)
{
	if (reader->start == reader->end) {
		reader->start = reader->end = 0;
	} else if (reader->start >= COMPACT_FROM || reader->end == FRAME_WHOLE) {
		memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
		reader->end -= reader->start;
		reader->start = 0;
	}
	*room = FRAME_WHOLE - reader->end;
	return reader->buffer + reader->end;
}

void frame_reader_filled(struct frame_reader *reader, size_t length)
{
	reader->end += length;
}

size_t frame_reader_missing(const struct frame_reader *reader)
{
	size_t held = reader->end - reader->start, whole;
	struct frame frame;

	if (held < FRAME_HEADER || !frame_header_parse(reader->buffer + reader->start, &frame))
		return 0;
	whole = FRAME_HEADER + (size_t)frame.length;
	return whole > held ? whole - held : 0;
}

bool frame_reader_next(struct frame_reader *reader, struct frame *frame)
{
	for (;;) {
		size_t held = reader->end - reader->start;
		const uint8_t *at = reader->buffer + reader->start;

		if (held < FRAME_HEADER)
			return false;
		if (frame_header_parse(at, frame)) {
			if (held < FRAME_HEADER + (size_t)frame->length)
				return false;
			frame->payload = at + FRAME_HEADER;
			reader->start += FRAME_HEADER + (size_t)frame->length;
			return true;
		}
		/* No header here: go on at the next byte that could start one. */
		const uint8_t *next = memchr(at + 1, MAGIC_FIRST_BYTE, held - 1);
		reader->start = next ? (size_t)(next - reader->buffer) : reader->end;
	}
}
