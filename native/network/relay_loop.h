/* The loop: one thread waits for descriptors, runs what is due, and looks at the clock. Owned by the process. */
#ifndef BANGER_RELAY_LOOP_H
#define BANGER_RELAY_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* A descriptor that the loop waits for; part of the object that owns the descriptor. */
struct watch {
	int fd; /* -1: none */
	void (*ready)(struct watch *watch, uint32_t events);
};

/* Work that goes on in the next round, after the descriptors had their turn. */
struct task {
	struct task *next;
	void (*run)(struct task *task);
	bool due;
};

/* Makes the loop. False: the kernel refuses. */
bool loop_open(void);

/* Waits for the `events` (EPOLL...) of a descriptor that does not block. False: the kernel has no memory for it. */
bool loop_watch(struct watch *watch, uint32_t events);
void loop_alter(struct watch *watch, uint32_t events);

/* Waits no longer, and closes the descriptor. Nothing happens if there is none. */
void loop_close(struct watch *watch);

void loop_again(struct task *task);

/* First member of an object that the loop may still know after its end. */
struct mortal {
	struct mortal *next;
};

/* Frees an object a round later, since events and tasks of this round may still lead to it. Its watches are closed by
 * then, and its tasks do nothing and are not made due again. */
void loop_free(struct mortal *object);

/* Milliseconds since some time, as they were when this round began. */
int64_t loop_now(void);

/* Runs for ever. `tick` is called about twice a second, and answers whether something still waits for the clock:
 * while nothing does, an idle loop sleeps. */
void loop_run(bool (*tick)(void)) __attribute__((noreturn));

#endif
