#include "pieces.h"

#include <stdlib.h>
#include <string.h>

void pieces_drop(struct pieces *pieces)
{
	free(pieces->bytes);
	*pieces = (struct pieces){ 0 };
}

static void append(struct pieces *pieces, const struct frame *frame)
{
	uint8_t *bytes;

	if (pieces->lost || frame->length == 0)
		return;
	bytes = frame->length <= REQUEST_MAX - pieces->length ?
			realloc(pieces->bytes, pieces->length + frame->length) : NULL;
	if (!bytes) {
		pieces->lost = true;
		return;
	}
	memcpy(bytes + pieces->length, frame->payload, frame->length);
	pieces->bytes = bytes;
	pieces->length += frame->length;
}

void pieces_add(struct pieces *pieces, const struct frame *frame)
{
	if (pieces->pending && pieces->channel != frame->channel)
		pieces_drop(pieces);
	pieces->pending = true;
	pieces->channel = frame->channel;
	append(pieces, frame);
}

bool pieces_join(struct pieces *pieces, struct frame *frame)
{
	if (!pieces->pending || pieces->channel != frame->channel)
		return true;
	append(pieces, frame);
	if (pieces->lost)
		return false;
	if (pieces->length) {
		frame->payload = pieces->bytes;
		frame->length = (uint32_t)pieces->length;
	}
	return true;
}
