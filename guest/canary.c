#include "canary.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/random.h>

#include "console.h"

enum { SEED_BYTES = 16 };

static bool wanted;

void canary_want_new(void)
{
	wanted = true;
}

/* Where compilers look for it: in the thread's head, or in a variable of the C library. */
__attribute__((no_stack_protector)) static void put_guard(uintptr_t guard)
{
#ifdef __x86_64__
	__asm__ volatile("movq %0, %%fs:0x28" : : "r"(guard) : "memory");
#else
	extern uintptr_t __stack_chk_guard;

	__stack_chk_guard = guard;
#endif
}

__attribute__((no_stack_protector)) void canary_round(void)
{
	union {
		uintptr_t number;
		uint8_t bytes[sizeof(uintptr_t)];
	} guard;
	/* The kernel put it on the stack for the C library to make its first guard of. */
	uint8_t *seed = (uint8_t *)getauxval(AT_RANDOM);

	if (!wanted)
		return;
	wanted = false;
	if (getrandom(&guard, sizeof guard, GRND_NONBLOCK) != (ssize_t)sizeof guard ||
	    (seed && getrandom(seed, SEED_BYTES, GRND_NONBLOCK) != SEED_BYTES)) {
		console("no random numbers for the stack's guard");
		return;
	}
	guard.bytes[1] = 0; /* no string can be made to run over it, as the C library has it */
	put_guard(guard.number);
}
