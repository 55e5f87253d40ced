#include "fail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void fail(const char *what, const char *path)
{
	const char *why = strerror(errno);

	dprintf(STDERR_FILENO, "jail: %s%s%s: %s\n", what, path ? ": " : "", path ? path : "", why);
	_exit(EXIT_REFUSED);
}

void fail_usage(const char *what, const char *argument)
{
	dprintf(STDERR_FILENO, "jail: %s: %s\n", what, argument ? argument : "nothing given");
	_exit(EXIT_USAGE);
}
