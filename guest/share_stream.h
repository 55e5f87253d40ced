/* The stream between the agent and the host's server of directories: its messages, and how both sides find one another
 * in it. Pure, no I/O. See docs/protocol.md. */
#ifndef BANGER_SHARE_STREAM_H
#define BANGER_SHARE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SHARE_HEAD = 8,
	SHARE_MESSAGE_MAX = 256 * 1024 + 4096,
	SHARE_TAIL = 4, /* of a message from the host */
	SHARE_WHOLE = SHARE_HEAD + SHARE_MESSAGE_MAX + SHARE_TAIL,
	SHARE_MAGIC = 16,
	SHARE_GREETING = 32,
	SHARE_FUSE = 1,
	SHARE_OWNER = 2,
};

struct share_message {
	uint16_t mount, kind;
	const uint8_t *bytes; /* until share_reader_room() */
	size_t length;
};

enum share_found { SHARE_NOTHING, SHARE_MET, SHARE_MESSAGE };

/* The buffer belongs to the caller and holds SHARE_WHOLE bytes. `met`: the last greeting still counts. */
struct share_reader {
	uint8_t *buffer;
	size_t start, end;
	bool met;
	uint8_t greeting[SHARE_GREETING];
};

/* What was half received is dropped, and so is all until the next greeting. */
void share_reader_part(struct share_reader *reader);
/* Where the next bytes go, and how many fit: at least one, after SHARE_NOTHING. */
uint8_t *share_reader_room(struct share_reader *reader, size_t *room);
void share_reader_filled(struct share_reader *reader, size_t length);
/* How many bytes are to come of a message that has begun; 0 if none has, as far as is known. After SHARE_NOTHING. */
size_t share_reader_missing(const struct share_reader *reader);
/* SHARE_MET: a server greets, whose greeting is to be sent back. A message that is broken off means that its sender is
 * gone; it is not found, but then nothing is until the next greeting. */
enum share_found share_reader_next(struct share_reader *reader, struct share_message *message);

void share_head_write(uint8_t *at, uint32_t length, uint16_t mount, uint16_t kind);

#endif
