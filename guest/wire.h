/* Frames: the codec of docs/protocol.md. Pure, no I/O. */
#ifndef BANGER_WIRE_H
#define BANGER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FRAME_HEADER = 16,
	FRAME_MAX = 262144, /* payload bytes */
	FRAME_WHOLE = FRAME_HEADER + FRAME_MAX,
	STREAM_DATA_MAX = 65536,
	STREAM_WINDOW = 262144,
};

enum frame_type {
	FRAME_HELLO = 0x01,
	FRAME_WELCOME = 0x02,
	FRAME_OK = 0x03,
	FRAME_FAIL = 0x04,
	FRAME_EVENT = 0x05,
	FRAME_RESTARTED = 0x06,
	FRAME_PING = 0x20,
	FRAME_CONFIGURE = 0x21,
	FRAME_EXEC = 0x22,
	FRAME_SIGNAL = 0x23,
	FRAME_RESIZE = 0x24,
	FRAME_EXECS = 0x25,
	FRAME_ATTACH = 0x26,
	FRAME_FORGET = 0x27,
	FRAME_STATS = 0x28,
	FRAME_PORTS = 0x29,
	FRAME_HEALTH = 0x2A,
	FRAME_SHUTDOWN = 0x2B,
	FRAME_GROW = 0x2C,
	FRAME_FREEZE = 0x2D,
	FRAME_THAW = 0x2E,
	FRAME_REFRESH = 0x2F,
	FRAME_MORE = 0x30,
	FRAME_DIAL = 0x31,
	FRAME_SHARE = 0x32,
	FRAME_VOLUMES = 0x36,
	FRAME_SECRET = 0x38,
	FRAME_DATA = 0x40,
	FRAME_EOF = 0x41,
	FRAME_CREDIT = 0x42,
	FRAME_EXIT = 0x43,
};

struct frame {
	uint8_t type;
	uint8_t flags;
	uint32_t channel;
	uint32_t length;
	const uint8_t *payload;
};

/* Collects bytes into frames. The buffer belongs to the caller and holds FRAME_WHOLE bytes, so
 * that every legal frame fits and receiving never allocates. */
struct frame_reader {
	uint8_t *buffer;
	size_t start, end;
};

uint16_t load16(const uint8_t *at);
uint32_t load32(const uint8_t *at);
uint64_t load64(const uint8_t *at);
void store16(uint8_t *at, uint16_t value);
void store32(uint8_t *at, uint32_t value);
void store64(uint8_t *at, uint64_t value);

uint32_t crc32_ieee(const uint8_t *bytes, size_t length);

void frame_header_write(uint8_t *at, uint8_t type, uint8_t flags, uint32_t channel, uint32_t length);
/* False unless magic, length and CRC are all right. Does not set the payload. */
bool frame_header_parse(const uint8_t *at, struct frame *frame);

void frame_reader_reset(struct frame_reader *reader);
/* Where the next bytes go, and how many fit: at least one, once frame_reader_next() has found no more
 * frames. Ends the life of earlier payloads. */
uint8_t *frame_reader_room(struct frame_reader *reader, size_t *room);
void frame_reader_filled(struct frame_reader *reader, size_t length);
/* The next whole frame. Its payload stays valid until frame_reader_room(). */
bool frame_reader_next(struct frame_reader *reader, struct frame *frame);

/* How many bytes are to come of a frame that has begun; 0 if none has. Once frame_reader_next() has found no more
 * frames. */
size_t frame_reader_missing(const struct frame_reader *reader);

#endif
