/* A request that is larger than a frame: the frames MORE that come before it. Pure, no I/O. */
#ifndef BANGER_PIECES_H
#define BANGER_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

/* More than the kernel takes of arguments and variables. */
enum { REQUEST_MAX = 4 << 20 };

/* The host sends the pieces of one request after another: there is one at a time. */
struct pieces {
	uint8_t *bytes;
	size_t length;
	uint32_t channel;
	bool pending, lost; /* lost: too long, or there is no memory for it */
};

void pieces_drop(struct pieces *pieces);
/* A payload that goes on in the next frame of its channel. Those of another channel are forgotten. */
void pieces_add(struct pieces *pieces, const struct frame *frame);
/* Makes `frame` the whole request, if pieces of it came before; its payload is valid until pieces_drop().
 * False if some of it was lost. */
bool pieces_join(struct pieces *pieces, struct frame *frame);

#endif
