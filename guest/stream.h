/* One direction of a byte stream: a window of bytes that were taken in and not yet consumed at
 * the far end. Pure, no I/O.
 *
 *      base                sent                end
 *   ----|===================|===================|------- offsets from the start of the stream
 *       consumed up to here |                   taken in up to here
 *                           given to the far end up to here
 *
 * The ring is allocated when the first byte comes, grows by doubling up to the window, and is
 * freed as soon as it is empty: an idle exec costs no buffer. */
#ifndef BANGER_STREAM_H
#define BANGER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream {
	uint8_t *ring;
	size_t capacity; /* of the ring: 0 or a power of two */
	uint64_t base, sent, end;
};

void stream_free(struct stream *stream);
size_t stream_held(const struct stream *stream);
/* A place for up to `want` more bytes, contiguous. Returns how many fit: 0 with a full window, and
 * 0 with *starved set when there was no memory. */
size_t stream_reserve(struct stream *stream, size_t want, uint8_t **at, bool *starved);
void stream_commit(struct stream *stream, size_t length);
/* Bytes that never need to be held (consumed on the spot). Only on an empty stream. */
void stream_pass(struct stream *stream, size_t length);
/* Contiguous held bytes from `offset` on. */
size_t stream_peek(const struct stream *stream, uint64_t offset, const uint8_t **at);
/* Everything before `offset` was consumed. False if the offset lies outside what was sent. */
bool stream_release(struct stream *stream, uint64_t offset);

#endif
