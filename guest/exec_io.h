/* The streams of an exec: pipes and terminals on one side, frames on the other. */
#ifndef BANGER_EXEC_IO_H
#define BANGER_EXEC_IO_H

#include "exec.h"

void input_ready(struct watch *watch, uint32_t events);
void output_ready(struct watch *watch, uint32_t events);
void input_close(struct exec *exec);
void output_close(struct exec *exec, struct output *output);
/* The process has ended: takes what it left behind, and waits for nobody else who holds the pipe. */
void output_drain(struct exec *exec, struct output *output);
void exec_io_take(struct exec *exec, const struct frame *frame);
/* Writes the stream frames of one turn; 0 if there is nothing to send or too little room. */
size_t exec_io_emit(struct exec *exec, uint8_t *at, size_t room);
bool exec_io_pending(const struct exec *exec);
/* Reads again where memory was short. */
void exec_io_resume(struct exec *exec);

#endif
