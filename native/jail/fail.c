#include "fail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int reported = -1;

void fail_report_to(int report)
{
	reported = report;
}

void fail(const char *what, const char *path)
{
	const char *why = strerror(errno);

	const char *joint = path ? ": " : "";

	path = path ? path : "";
	dprintf(STDERR_FILENO, "jail: %s%s%s: %s\n", what, joint, path, why);
	if (reported >= 0)
		dprintf(reported, "%s%s%s: %s\n", what, joint, path, why);
	_exit(EXIT_REFUSED);
}

void fail_usage(const char *what, const char *argument)
{
	dprintf(STDERR_FILENO, "jail: %s: %s\n", what, argument ? argument : "nothing given");
	_exit(EXIT_USAGE);
}
