#include "channel.h"

#include "share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { WHOLE = HEAD_BYTES + MESSAGE_MOST + TAIL_BYTES, IN_BYTES = 2 * WHOLE, OUT_BYTES = 4 * WHOLE, MAGIC_BYTES = 16 };

static const uint8_t MAGIC[MAGIC_BYTES] = "\xba\x6e" "banger.shares";
/* Behind each message to the agent, which so knows one that was broken off. */
static const uint8_t TAIL[TAIL_BYTES] = {0xe0, 'e', 'n', 'd'};

bool channel_open(struct channel *channel, int descriptor)
{
	*channel = (struct channel){.descriptor = descriptor, .in = malloc(IN_BYTES), .out = malloc(OUT_BYTES)};
	return channel->in && channel->out;
}

void channel_close(struct channel *channel)
{
	free(channel->in);
	free(channel->out);
	close(channel->descriptor);
}

static bool send_all(int descriptor, const uint8_t *bytes, size_t length)
{
	while (length) {
		ssize_t sent = write(descriptor, bytes, length);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		bytes += sent;
		length -= (size_t)sent;
	}
	return true;
}

static bool flush(struct channel *channel)
{
	size_t length = channel->ready;

	channel->ready = 0;
	return send_all(channel->descriptor, channel->out, length);
}

/* More bytes behind those that are there. */
static bool fill(struct channel *channel)
{
	ssize_t got;

	if (channel->start) {
		memmove(channel->in, channel->in + channel->start, channel->end - channel->start);
		channel->end -= channel->start;
		channel->start = 0;
	}
	do
		got = read(channel->descriptor, channel->in + channel->end, IN_BYTES - channel->end);
	while (got < 0 && errno == EINTR);
	if (got > 0)
		channel->end += (size_t)got;
	return got > 0;
}

/* Bytes that end any message which an earlier server left half sent, then the greeting. */
static bool greet(struct channel *channel, uint8_t greeting[GREETING_BYTES])
{
	memcpy(greeting, MAGIC, MAGIC_BYTES);
	if (getrandom(greeting + MAGIC_BYTES, GREETING_BYTES - MAGIC_BYTES, 0) != GREETING_BYTES - MAGIC_BYTES)
		return false;
	memset(channel->out, 0, WHOLE);
	memcpy(channel->out + WHOLE, greeting, GREETING_BYTES);
	channel->ready = WHOLE + GREETING_BYTES;
	return flush(channel);
}

bool channel_meet(struct channel *channel)
{
	uint8_t greeting[GREETING_BYTES], *found = NULL;

	if (!greet(channel, greeting))
		return false;
	while (!found) {
		if (!fill(channel))
			return false;
		found = memmem(channel->in, channel->end, greeting, GREETING_BYTES);
		if (found)
			channel->start = (size_t)(found - channel->in) + GREETING_BYTES;
		else if (channel->end >= GREETING_BYTES)
			channel->start = channel->end - GREETING_BYTES + 1; /* half a greeting, perhaps */
	}
	return true;
}

static bool read_head(const struct channel *channel, struct message *message, uint32_t *length)
{
	const uint8_t *at = channel->in + channel->start;

	if (channel->end - channel->start < HEAD_BYTES)
		return false;
	memcpy(length, at, sizeof *length);
	memcpy(&message->mount, at + 4, sizeof message->mount);
	memcpy(&message->kind, at + 6, sizeof message->kind);
	return true;
}

bool channel_next(struct channel *channel, struct message *message)
{
	uint32_t length;

	for (;;) {
		if (read_head(channel, message, &length)) {
			if (length > MESSAGE_MOST)
				return false;
			if (channel->end - channel->start >= HEAD_BYTES + length)
				break;
		}
		if ((channel->ready && !flush(channel)) || !fill(channel))
			return false;
	}
	message->bytes = channel->in + channel->start + HEAD_BYTES;
	message->length = length;
	channel->start += HEAD_BYTES + length;
	return true;
}

uint8_t *channel_room(struct channel *channel)
{
	if (channel->ready > OUT_BYTES - WHOLE && !flush(channel))
		return NULL;
	return channel->out + channel->ready + HEAD_BYTES;
}

void channel_put(struct channel *channel, uint16_t mount, uint16_t kind, size_t length)
{
	uint8_t *at = channel->out + channel->ready;
	uint32_t number = (uint32_t)length;

	memcpy(at, &number, sizeof number);
	memcpy(at + 4, &mount, sizeof mount);
	memcpy(at + 6, &kind, sizeof kind);
	memcpy(at + HEAD_BYTES + length, TAIL, TAIL_BYTES);
	channel->ready += HEAD_BYTES + length + TAIL_BYTES;
}
