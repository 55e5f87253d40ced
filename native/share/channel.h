/* The byte stream to the guest's agent: messages with a head each, in both directions. docs/protocol.md has the format.
 *
 * The stream may begin in the middle of what was said to an earlier server, so both sides look for a greeting first. */
#ifndef BANGER_SHARE_CHANNEL_H
#define BANGER_SHARE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEAD_BYTES = 8, TAIL_BYTES = 4, GREETING_BYTES = 32 };

enum kind { KIND_FUSE = 1, KIND_OWNER = 2 };

struct message {
	uint16_t mount, kind;
	const uint8_t *bytes; /* until the next message is asked for */
	size_t length;
};

struct channel {
	int descriptor;
	uint8_t *in, *out;
	size_t start, end, ready;
};

/* False: no memory. */
bool channel_open(struct channel *channel, int descriptor);
void channel_close(struct channel *channel);

/* Greets the agent and waits for its answer; what came before that is dropped. False: the stream ended. */
bool channel_meet(struct channel *channel);
/* The next message; what was answered is sent first if the wait may be long. False: the stream ended, or makes no
 * sense. */
bool channel_next(struct channel *channel, struct message *message);

/* Where MESSAGE_MOST bytes of the next answer may be written, and that it is written. NULL: the stream ended. */
uint8_t *channel_room(struct channel *channel);
void channel_put(struct channel *channel, uint16_t mount, uint16_t kind, size_t length);

#endif
