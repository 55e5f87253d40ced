#include "journal.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "console.h"
#include "fd.h"
#include "files.h"

#define MEMBERS "/sys/fs/cgroup/system.slice/systemd-journald.service/cgroup.procs"

/* It writes out what it holds; a disk that takes longer must not hold up who waits for the guest. */
enum { END_WAIT_MS = 500 };

/* systemd starts it again at once, and keeps the sockets for it: nothing is lost meanwhile. */
static void end(char *line, void *context)
{
	pid_t pid = (pid_t)strtol(line, NULL, 10);
	AUTO_FD fd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	struct pollfd gone = { .fd = fd, .events = POLLIN };

	(void)context;
	if (fd < 0 || syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) < 0)
		return;
	if (poll(&gone, 1, END_WAIT_MS) == 0)
		console("journald is slow to end");
}

void journal_begin_anew(void)
{
	file_each_line(MEMBERS, end, NULL);
}
