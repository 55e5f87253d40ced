#include "phases.h"

#include <stdio.h>

#include "loop.h"

enum { PHASES_MAX = 16 };

static struct {
	const char *name;
	uint64_t at_ms;
} phases[PHASES_MAX];
static size_t count;

void phase_mark(const char *name)
{
	if (count == PHASES_MAX)
		return;
	phases[count].name = name;
	phases[count++].at_ms = now_ms();
}

void phases_put(struct field_writer *fields)
{
	char text[64];

	for (size_t i = 0; i < count; i++) {
		snprintf(text, sizeof text, "%s=%llu", phases[i].name,
			 (unsigned long long)phases[i].at_ms);
		put_text(fields, TAG_PHASE, text);
	}
}
