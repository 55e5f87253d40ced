#include "modules.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "console.h"
#include "fd.h"
#include "files.h"

#define DIRECTORY "/modules"

static int load(const char *path)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	return syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST ? -1 : 0;
}

static void load_early(const char *name)
{
	char path[256];

	snprintf(path, sizeof path, DIRECTORY "/%s", name);
	if (load(path) < 0)
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
		load_early(line);
	unlink(DIRECTORY "/order");
	rmdir(DIRECTORY);
}

void module_load_installed(const char *path)
{
	struct utsname system;
	char whole[256];

	uname(&system);
	snprintf(whole, sizeof whole, "/lib/modules/%s/%s", system.release, path);
	if (load(whole) < 0 && errno != ENOENT)
		console("module %s: %s", path, strerror(errno));
}
