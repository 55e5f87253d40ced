#include "modules.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "console.h"
#include "fd.h"
#include "files.h"

#define DIRECTORY "/modules"

static void load(const char *name)
{
	char path[256];
	AUTO_FD fd = -1;

	snprintf(path, sizeof path, DIRECTORY "/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		console("module %s: %s", name, strerror(errno));
	unlink(path);
}

void modules_load(void)
{
	static char order[8192];

	/* A kernel with everything built in comes without the list. */
	if (file_read(DIRECTORY "/order", order, sizeof order) <= 0)
		return;
	for (char *line = strtok(order, "\n"); line; line = strtok(NULL, "\n"))
		load(line);
	unlink(DIRECTORY "/order");
	rmdir(DIRECTORY);
}
