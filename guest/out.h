/* The queue of answers and events on their way to the host. It never allocates; whoever takes in
 * requests first asks whether an answer of any legal size still fits. */
#ifndef BANGER_OUT_H
#define BANGER_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "fields.h"

void out_clear(void);
bool out_has_room(void);
size_t out_peek(const uint8_t **at);
void out_advance(size_t length);

/* As many zeros as a frame can have, into an empty queue: they complete one that was cut off. */
void out_pad(void);

/* One frame at a time: begin, put fields, end. */
struct field_writer *out_begin(uint8_t type, uint32_t channel);
void out_end(void);

void out_ok(uint32_t channel);
void out_fail(uint32_t channel, const struct err *err);
/* Dropped when the queue is crowded. The pid is that of the process it is about, 0 for none. */
void out_event(const char *code, int number, pid_t pid, const char *message);

#endif
