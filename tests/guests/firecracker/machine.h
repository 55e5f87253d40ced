/* What there is of a machine before any device is found. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Keeps the compiler from moving memory accesses across. */
#define BARRIER() __asm__ volatile("" ::: "memory")

void _start(void);

void machine_print(const char *text);

/* Firecracker ends. */
_Noreturn void machine_reset(void);

/* Whether Ctrl-Alt-Del has been pressed: the host asks the guest to end. */
bool machine_asked_to_end(void);

/* Processor cycles. */
uint64_t machine_cycles(void);

/* The compiler calls these by itself, too. */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *at, int value, size_t size);

bool same_bytes(const void *one, const void *other, size_t size);
size_t length_of(const char *text);

#endif
