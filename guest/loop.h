/* The event loop: watches on descriptors, timers, and nothing that blocks. */
#ifndef BANGER_LOOP_H
#define BANGER_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct watch {
	int fd;
	uint32_t events; /* what epoll knows; 0: not in epoll */
	void (*ready)(struct watch *watch, uint32_t events);
	void *owner;
};

struct timer {
	bool armed;
	uint64_t due_ms;
	void (*fired)(struct timer *timer);
	void *owner;
	struct timer *next;
};

int loop_open(void);
/* Where the process is about to be something else. */
void loop_close(void);
/* Waits for one round of events and handles them. */
void loop_round(void);
/* The next round does not sleep: work was left over. */
void loop_hurry(void);

/* Level-triggered unless EPOLLET is among the events. No events takes the watch out of epoll, for
 * EPOLLHUP cannot be masked and would spin. */
bool watch_set(struct watch *watch, uint32_t events);
void watch_close(struct watch *watch);

void timer_arm(struct timer *timer, uint64_t in_ms);
void timer_cancel(struct timer *timer);
/* Milliseconds until the timer fires, at least 1; 0 if it is not armed. */
uint64_t timer_left_ms(const struct timer *timer);

uint64_t now_ms(void);

#endif
