#include "namespaces.h"

#include "fail.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail("write", path);
	close(fd);
}

static void map_one(const char *path, unsigned id)
{
	char line[64];

	snprintf(line, sizeof line, "%u %u 1", id, id);
	write_file(path, line);
}

void namespaces_enter(int kinds)
{
	uid_t user = geteuid();
	gid_t group = getegid();

	if (kinds && unshare(kinds) != 0)
		fail("namespaces", NULL);
	if (kinds & CLONE_NEWUSER) {
		write_file("/proc/self/setgroups", "deny");
		map_one("/proc/self/uid_map", user);
		map_one("/proc/self/gid_map", group);
	}
}

void namespaces_descend(int report)
{
	long child = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);

	if (child < 0)
		fail("first process of the pid namespace", NULL);
	if (child > 0) {
		if (report >= 0 && dprintf(report, "%ld\n", child) < 0)
			_exit(EXIT_REFUSED);
		_exit(0);
	}
	/* The calling process led a session, which ends with it: the child needs its own. */
	if (setsid() < 0)
		fail("setsid", NULL);
}
