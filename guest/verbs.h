/* Requests: what the host may ask for, and in which state. */
#ifndef BANGER_VERBS_H
#define BANGER_VERBS_H

#include "err.h"
#include "fields.h"
#include "wire.h"

struct request {
	uint32_t channel;
	struct fields fields;
};

/* The half of a request that an earlier session left. */
void verbs_forget(void);
void verbs_handle(const struct frame *frame);

#endif
