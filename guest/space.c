#include "space.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"

enum { FAILED = 127 };

pid_t space_fork_new(void)
{
	return (pid_t)syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
}

int space_prepare(struct err *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return err_set(err, ERR_IO, errno, "cannot mount /proc for process 1");
	return 0;
}

static int space_open(pid_t process, const char *kind)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)process, kind);
	return open(path, O_RDONLY | O_CLOEXEC);
}

pid_t space_fork_into(pid_t process_1)
{
	AUTO_FD own = space_open(getpid(), "pid");
	AUTO_FD pids = space_open(process_1, "pid");
	AUTO_FD mounts = space_open(process_1, "mnt");
	int number;
	pid_t pid;

	if (own < 0 || pids < 0 || mounts < 0 || setns(pids, CLONE_NEWPID) < 0)
		return -1;
	pid = fork();
	if (pid == 0 && setns(mounts, CLONE_NEWNS) < 0)
		_exit(FAILED);
	number = errno;
	if (pid != 0)
		setns(own, CLONE_NEWPID); /* the agent itself was never in it: only its children would be */
	errno = number;
	return pid;
}
