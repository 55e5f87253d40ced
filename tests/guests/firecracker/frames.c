#include "frames.h"

#include "vsock.h"

enum { MAGIC = 0xba6e, CHECKED_BYTES = 12, FIELD_HEAD_BYTES = 6 };

static uint8_t incoming[HEADER_BYTES + PAYLOAD_MAX];
static size_t held;
static uint8_t outgoing[ANSWER_MAX];
static size_t written;

static uint64_t read_number(const uint8_t *bytes, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size && i < 8; i++)
		value |= (uint64_t)bytes[i] << 8 * i;
	return value;
}

static void write_number(uint8_t *bytes, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

/* CRC-32 of IEEE 802.3, half a byte at a time: each instruction here is emulated. */
static uint32_t check_of(const uint8_t *bytes, size_t size)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t check = ~0U;

	for (size_t i = 0; i < size; i++) {
		check ^= bytes[i];
		check = check >> 4 ^ table[check & 15];
		check = check >> 4 ^ table[check & 15];
	}
	return ~check;
}

void frames_forget(void)
{
	held = 0;
}

static bool header_is_valid(void)
{
	return read_number(incoming, 2) == MAGIC && read_number(incoming + 8, 4) <= PAYLOAD_MAX &&
	       read_number(incoming + CHECKED_BYTES, 4) == check_of(incoming, CHECKED_BYTES);
}

static void skip_one(void)
{
	held--;
	for (size_t i = 0; i < held; i++)
		incoming[i] = incoming[i + 1];
}

/* How many of these bytes begin no frame. What the host sends to wake a lost frame is long and all zeros. */
static size_t zeros_before(const uint8_t *bytes, size_t size)
{
	const uint64_t *words = (const uint64_t *)(const void *)bytes;
	size_t count = 0;

	while ((count + 1) * 8 <= size && words[count] == 0)
		count++;
	return count * 8;
}

static size_t wanted(void)
{
	return held < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + (size_t)read_number(incoming + 8, 4);
}

static void take_whole(void (*take)(const struct frame *))
{
	struct frame frame = {
		.type = incoming[2],
		.channel = (uint32_t)read_number(incoming + 4, 4),
		.payload = incoming + HEADER_BYTES,
		.size = (uint32_t)read_number(incoming + 8, 4),
	};
	held = 0;
	take(&frame);
}

void frames_feed(const uint8_t *bytes, size_t size, void (*take)(const struct frame *))
{
	while (size) {
		size_t part = held ? 0 : zeros_before(bytes, size);
		bytes += part;
		size -= part;
		part = wanted() - held < size ? wanted() - held : size;
		memcpy(incoming + held, bytes, part);
		held += part;
		bytes += part;
		size -= part;
		while (held && (incoming[0] != (MAGIC & 0xff) || (held == HEADER_BYTES && !header_is_valid())))
			skip_one();
		if (held >= HEADER_BYTES && held == wanted())
			take_whole(take);
	}
}

bool frame_next(const struct frame *frame, uint32_t *at, struct field *field)
{
	const uint8_t *head = frame->payload + *at;

	if (frame->size - *at < FIELD_HEAD_BYTES)
		return false;
	field->tag = (uint16_t)read_number(head, 2);
	field->size = (uint32_t)read_number(head + 2, 4);
	field->bytes = head + FIELD_HEAD_BYTES;
	if (field->size > frame->size - *at - FIELD_HEAD_BYTES)
		return false;
	*at += FIELD_HEAD_BYTES + field->size;
	return true;
}

bool frame_find(const struct frame *frame, uint16_t tag, struct field *field)
{
	uint32_t at = 0;

	while (frame_next(frame, &at, field))
		if (field->tag == tag)
			return true;
	return false;
}

uint64_t frame_number(const struct frame *frame, uint16_t tag)
{
	struct field field;

	return frame_find(frame, tag, &field) ? read_number(field.bytes, field.size) : 0;
}

void frame_begin(uint8_t type, uint8_t flags, uint32_t channel)
{
	written = HEADER_BYTES;
	write_number(outgoing, MAGIC, 2);
	outgoing[2] = type;
	outgoing[3] = flags;
	write_number(outgoing + 4, channel, 4);
}

void frame_put_raw(const void *bytes, size_t size)
{
	if (size > sizeof outgoing - written)
		return;
	memcpy(outgoing + written, bytes, size);
	written += size;
}

void frame_put(uint16_t tag, const void *bytes, size_t size)
{
	uint8_t head[FIELD_HEAD_BYTES];

	if (FIELD_HEAD_BYTES + size > sizeof outgoing - written)
		return;
	write_number(head, tag, 2);
	write_number(head + 2, size, 4);
	frame_put_raw(head, sizeof head);
	frame_put_raw(bytes, size);
}

void frame_put_text(uint16_t tag, const char *text)
{
	frame_put(tag, text, length_of(text));
}

void frame_put_number(uint16_t tag, uint64_t number)
{
	uint8_t bytes[8];

	write_number(bytes, number, sizeof bytes);
	frame_put(tag, bytes, sizeof bytes);
}

void frame_end(void)
{
	write_number(outgoing + 8, written - HEADER_BYTES, 4);
	write_number(outgoing + CHECKED_BYTES, check_of(outgoing, CHECKED_BYTES), 4);
	vsock_send(outgoing, written);
}
