#include "keeper_refusal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void refuse(const char *code, const char *what)
{
	dprintf(STDERR_FILENO, "keeper: %s: %s: %s\n", code, what, strerror(errno));
	_exit(EXIT_REFUSED);
}

void refuse_usage(const char *what, const char *argument)
{
	dprintf(STDERR_FILENO, "keeper: usage: %s: %s\n", what, argument);
	_exit(EXIT_USAGE);
}
