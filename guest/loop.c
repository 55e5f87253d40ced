#include "loop.h"

#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>

#include "fd.h"

enum { BATCH = 32 };

static int epoll_fd = -1;
static struct epoll_event batch[BATCH];
static int batch_length, batch_at;
static struct timer *timers;
static bool hurry;

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int loop_open(void)
{
	fd_close(&epoll_fd);
	batch_length = 0;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd < 0 ? -1 : 0;
}

void loop_close(void)
{
	fd_close(&epoll_fd);
}

void loop_hurry(void)
{
	hurry = true;
}

bool watch_set(struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };
	int operation = EPOLL_CTL_MOD;

	if (watch->events == events)
		return true;
	if (!events)
		operation = EPOLL_CTL_DEL;
	else if (!watch->events)
		operation = EPOLL_CTL_ADD;
	if (epoll_ctl(epoll_fd, operation, watch->fd, &event) < 0)
		return false;
	watch->events = events;
	return true;
}

void watch_close(struct watch *watch)
{
	if (watch->fd < 0)
		return;
	watch_set(watch, 0);
	watch->events = 0;
	fd_close(&watch->fd);
	/* The owner may go away before the rest of this round is handled. */
	for (int i = batch_at; i < batch_length; i++)
		if (batch[i].data.ptr == watch)
			batch[i].data.ptr = NULL;
}

void timer_cancel(struct timer *timer)
{
	if (!timer->armed)
		return;
	timer->armed = false;
	for (struct timer **link = &timers; *link; link = &(*link)->next) {
		if (*link == timer) {
			*link = timer->next;
			return;
		}
	}
}

void timer_arm(struct timer *timer, uint64_t in_ms)
{
	struct timer **link = &timers;

	timer_cancel(timer);
	timer->armed = true;
	timer->due_ms = now_ms() + in_ms;
	while (*link && (*link)->due_ms <= timer->due_ms)
		link = &(*link)->next;
	timer->next = *link;
	*link = timer;
}

uint64_t timer_left_ms(const struct timer *timer)
{
	uint64_t now = now_ms();

	if (!timer->armed)
		return 0;
	return timer->due_ms > now ? timer->due_ms - now : 1;
}

static void timers_fire(void)
{
	while (timers && timers->due_ms <= now_ms()) {
		struct timer *timer = timers;

		timer_cancel(timer);
		timer->fired(timer);
	}
}

static int sleep_ms(void)
{
	if (hurry)
		return 0;
	if (!timers)
		return -1;
	uint64_t now = now_ms();
	if (timers->due_ms <= now)
		return 0;
	uint64_t left = timers->due_ms - now;
	return left > 3600000 ? 3600000 : (int)left;
}

void loop_round(void)
{
	int count = epoll_wait(epoll_fd, batch, BATCH, sleep_ms());

	hurry = false;
	batch_length = count < 0 ? 0 : count;
	for (batch_at = 0; batch_at < batch_length; batch_at++) {
		struct watch *watch = batch[batch_at].data.ptr;

		if (watch)
			watch->ready(watch, batch[batch_at].events);
	}
	batch_length = 0;
	timers_fire();
}
