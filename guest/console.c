#include "console.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "fd.h"

void console(const char *format, ...)
{
	/* Opened for each line: the image's init may hang up the console at any time, and a
	 * descriptor from before would be dead. */
	AUTO_FD fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	char line[320];
	va_list arguments;
	int used = snprintf(line, sizeof line, "banger-agent: ");

	va_start(arguments, format);
	used += vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
	va_end(arguments);
	if (used > (int)sizeof line - 2)
		used = (int)sizeof line - 2;
	line[used] = '\n';
	if (fd >= 0 && write(fd, line, (size_t)used + 1) < 0)
		return; /* there is no better place to complain */
}
