/* Requests to the keeper, in words. See README.md. */
#ifndef BANGER_KEEPER_REQUESTS_H
#define BANGER_KEEPER_REQUESTS_H

#include "keeper_address.h"
#include "keeper_sockets.h"

#include <stdbool.h>
#include <stddef.h>

enum { REQUEST_MOST = 512, ANSWER_MOST = 32 << 10 };

struct answer {
	char text[ANSWER_MOST];
	size_t length;
	int descriptors[SOCKETS_MOST];
	size_t descriptor_count;
	bool descriptors_are_ours; /* they stay open after the answer is sent */
};

/* Carries out a request and fills in the answer, which begins with "ok" or "error CODE". */
void request_carry_out(const char *text, size_t length, const struct guests *guests, struct answer *answer);

/* An answer that says no. */
void answer_refuse(struct answer *answer, const char *code, const char *why);

#endif
