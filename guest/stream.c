#include "stream.h"

#include <stdlib.h>
#include <string.h>

#include "wire.h"

enum { RING_FIRST = 4096 };

void stream_free(struct stream *stream)
{
	free(stream->ring);
	stream->ring = NULL;
	stream->capacity = 0;
}

size_t stream_held(const struct stream *stream)
{
	return (size_t)(stream->end - stream->base);
}

static bool stream_grow(struct stream *stream, size_t capacity)
{
	uint8_t *ring = malloc(capacity);

	if (!ring)
		return false;
	for (uint64_t at = stream->base; at < stream->end;) {
		const uint8_t *from;
		size_t length = stream_peek(stream, at, &from);
		size_t index = (size_t)(at & (capacity - 1));

		if (length > capacity - index)
			length = capacity - index;
		memcpy(ring + index, from, length);
		at += length;
	}
	free(stream->ring);
	stream->ring = ring;
	stream->capacity = capacity;
	return true;
}

size_t stream_reserve(struct stream *stream, size_t want, uint8_t **at, bool *starved)
{
	size_t held = stream_held(stream), capacity = stream->capacity;

	*starved = false;
	if (want > STREAM_WINDOW - held)
		want = STREAM_WINDOW - held;
	if (want == 0)
		return 0;
	if (capacity == 0)
		capacity = RING_FIRST;
	while (capacity < held + want)
		capacity *= 2;
	/* With no memory for a larger ring, the room that is left in this one still serves. */
	if (capacity > stream->capacity && !stream_grow(stream, capacity) && held == stream->capacity) {
		*starved = true;
		return 0;
	}
	size_t index = (size_t)(stream->end & (stream->capacity - 1));
	size_t room = stream->capacity - held;

	if (room > stream->capacity - index)
		room = stream->capacity - index;
	*at = stream->ring + index;
	return room < want ? room : want;
}

void stream_commit(struct stream *stream, size_t length)
{
	stream->end += length;
}

void stream_pass(struct stream *stream, size_t length)
{
	stream->end += length;
	stream->base = stream->sent = stream->end;
}

size_t stream_peek(const struct stream *stream, uint64_t offset, const uint8_t **at)
{
	if (offset < stream->base || offset >= stream->end)
		return 0;
	size_t index = (size_t)(offset & (stream->capacity - 1));
	size_t length = (size_t)(stream->end - offset);

	if (length > stream->capacity - index)
		length = stream->capacity - index;
	*at = stream->ring + index;
	return length;
}

bool stream_release(struct stream *stream, uint64_t offset)
{
	if (offset < stream->base || offset > stream->sent)
		return false;
	stream->base = offset;
	if (stream->base == stream->end)
		stream_free(stream);
	return true;
}
