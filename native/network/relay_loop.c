#include "relay_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, TICK_MS = 500 };

static int epoll = -1;
static int64_t now;
static struct task *first_task, **last_task = &first_task;
static struct mortal *dead, *buried; /* of this round, and of the round before */

static void look_at_the_clock(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	now = (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

bool loop_open(void)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	look_at_the_clock();
	return epoll >= 0;
}

static int control(int what, struct watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	return epoll_ctl(epoll, what, watch->fd, &event);
}

bool loop_watch(struct watch *watch, uint32_t events)
{
	return control(EPOLL_CTL_ADD, watch, events) == 0;
}

void loop_alter(struct watch *watch, uint32_t events)
{
	(void)control(EPOLL_CTL_MOD, watch, events);
}

void loop_close(struct watch *watch)
{
	if (watch->fd < 0)
		return;
	/* Others may hold the same open file, and it would stay in the epoll with them. */
	(void)control(EPOLL_CTL_DEL, watch, 0);
	close(watch->fd);
	watch->fd = -1;
}

void loop_again(struct task *task)
{
	if (task->due)
		return;
	task->due = true;
	task->next = NULL;
	*last_task = task;
	last_task = &task->next;
}

void loop_free(struct mortal *object)
{
	object->next = dead;
	dead = object;
}

int64_t loop_now(void)
{
	return now;
}

static void run_tasks(void)
{
	struct task *task = first_task;

	first_task = NULL;
	last_task = &first_task;
	while (task) {
		struct task *next = task->next;
		task->due = false;
		task->run(task);
		task = next;
	}
}

static void bury(void)
{
	while (buried) {
		struct mortal *next = buried->next;
		free(buried);
		buried = next;
	}
	buried = dead;
	dead = NULL;
}

void loop_run(bool (*tick)(void))
{
	struct epoll_event events[BATCH];
	int64_t ticked = 0;
	bool waiting = true;

	for (;;) {
		int count = epoll_wait(epoll, events, BATCH, first_task ? 0 : waiting ? TICK_MS : -1);
		look_at_the_clock();
		for (int i = 0; i < count; i++) {
			struct watch *watch = events[i].data.ptr;
			if (watch->fd >= 0)
				watch->ready(watch, events[i].events);
		}
		run_tasks();
		if (now - ticked >= TICK_MS) {
			waiting = tick();
			ticked = now;
		} else {
			waiting = true;
		}
		bury();
	}
}
