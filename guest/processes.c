#include "processes.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

/* A fork may slip through one look at /proc, but not through several: what is killed forks no more. */
enum { LOOKS = 4 };

static bool in_session(const char *pid, pid_t session, pid_t *group)
{
	char path[64], stat[512], *at;

	snprintf(path, sizeof path, "/proc/%.16s/stat", pid);
	if (file_read(path, stat, sizeof stat) <= 0)
		return false;
	/* The name is in parentheses and may contain anything, parentheses too. What follows is
	 * ") state parent group session ..." */
	at = strrchr(stat, ')');
	if (!at || strlen(at) < 5)
		return false;
	strtol(at + 4, &at, 10);
	*group = (pid_t)strtol(at, &at, 10);
	return strtol(at, NULL, 10) == session;
}

void session_kill(pid_t session, int signal_number)
{
	/* The leader may not have come to make its session yet. */
	if (kill(-session, signal_number) < 0)
		kill(session, signal_number);
	for (int look = 0; look < LOOKS; look++) {
		DIR *proc = opendir("/proc");
		struct dirent *entry;
		size_t found = 0;

		if (!proc)
			return;
		while ((entry = readdir(proc))) {
			pid_t pid = atoi(entry->d_name), group;

			if (pid <= 1 || !in_session(entry->d_name, session, &group) || group == session)
				continue;
			found++;
			kill(pid, signal_number);
		}
		closedir(proc);
		if (!found || signal_number != SIGKILL)
			return;
	}
}
