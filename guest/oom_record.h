/* What the kernel's log says of processes that were killed for lack of memory. Pure, no I/O. */
#ifndef BANGER_OOM_RECORD_H
#define BANGER_OOM_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
	/* A name has 15 bytes, of which the log writes some as \xNN. */
	OOM_NAME_SIZE = 64,
	OOM_TEXT_SIZE = 160,
};

struct oom_victim {
	pid_t pid; /* 0: nobody knows who it was */
	char name[OOM_NAME_SIZE];
};

/* One record as /dev/kmsg gives it. False if it tells of something else, or was not written by the
 * kernel. */
bool oom_record_parse(const char *record, struct oom_victim *victim);
/* For people: the latest of `count` kills. */
void oom_describe(const struct oom_victim *victim, unsigned count, char text[OOM_TEXT_SIZE]);

#endif
