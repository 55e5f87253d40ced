/* Frames and fields of the agent protocol: docs/protocol.md. */
#ifndef FRAMES_H
#define FRAMES_H

#include "machine.h"

enum { HEADER_BYTES = 16, PAYLOAD_MAX = 262144, ANSWER_MAX = 65536 };

struct frame {
	uint8_t type;
	uint32_t channel;
	const uint8_t *payload;
	uint32_t size;
};

struct field {
	uint16_t tag;
	const uint8_t *bytes;
	uint32_t size;
};

/* Drop what was received of a frame that is not complete. */
void frames_forget(void);

/* Takes bytes, and calls `take` with each frame that they complete. */
void frames_feed(const uint8_t *bytes, size_t size, void (*take)(const struct frame *));

/* The field that follows `at`, which it advances; false after the last, or if the rest is malformed. */
bool frame_next(const struct frame *frame, uint32_t *at, struct field *field);

/* The first field with this tag; false if there is none. */
bool frame_find(const struct frame *frame, uint16_t tag, struct field *field);

uint64_t frame_number(const struct frame *frame, uint16_t tag);

/* A frame that is sent: begun, filled, ended. What does not fit is left out. */
void frame_begin(uint8_t type, uint8_t flags, uint32_t channel);
void frame_put(uint16_t tag, const void *bytes, size_t size);
void frame_put_text(uint16_t tag, const char *text);
void frame_put_number(uint16_t tag, uint64_t number);
/* Bytes that are no field. */
void frame_put_raw(const void *bytes, size_t size);
void frame_end(void);

#endif
