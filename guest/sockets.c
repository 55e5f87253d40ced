#include "sockets.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fd.h"
#include "files.h"
#include "socket_table.h"

enum { SOCKETS_MAX = 512 };

static struct socket_entry sockets[SOCKETS_MAX];
static size_t count;

static void visit_line(char *line, void *context)
{
	if (count < SOCKETS_MAX && socket_entry_parse(context, line, &sockets[count]))
		count++;
}

static void take_table(char *protocol)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/net/%s", protocol);
	file_each_line(path, visit_line, protocol);
}

/* Returns whether an owner is still missing. */
static bool claim(uint64_t inode, int pid)
{
	bool missing = false;

	for (size_t i = 0; i < count; i++) {
		if (!sockets[i].pid && sockets[i].inode == inode)
			sockets[i].pid = pid;
		missing |= !sockets[i].pid;
	}
	return missing;
}

static bool claim_descriptors(int pid)
{
	char path[64], target[64];
	struct dirent *entry;
	bool missing = true;
	DIR *directory;

	snprintf(path, sizeof path, "/proc/%d/fd", pid);
	directory = opendir(path);
	while (missing && directory && (entry = readdir(directory))) {
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);

		if (length < 9 || memcmp(target, "socket:[", 8) != 0)
			continue;
		target[length] = 0;
		missing = claim(strtoull(target + 8, NULL, 10), pid);
	}
	if (directory)
		closedir(directory);
	return missing;
}

static void find_owners(void)
{
	DIR *proc = count ? opendir("/proc") : NULL;
	struct dirent *entry;
	bool missing = true;

	while (missing && proc && (entry = readdir(proc))) {
		int pid = atoi(entry->d_name);

		if (pid > 0)
			missing = claim_descriptors(pid);
	}
	if (proc)
		closedir(proc);
}

static void put_entry(struct field_writer *fields, const struct socket_entry *socket)
{
	char path[32], comm[32] = "-", line[128];

	snprintf(path, sizeof path, "/proc/%d/comm", socket->pid);
	if (socket->pid && file_read_line(path, comm, sizeof comm) <= 0)
		strcpy(comm, "-");
	snprintf(line, sizeof line, "%s %s %u %d %s", socket->protocol, socket->address, socket->port,
		 socket->pid, comm);
	put_text(fields, TAG_PORT, line);
}

void sockets_put(struct field_writer *fields)
{
	count = 0;
	take_table("tcp");
	take_table("tcp6");
	take_table("udp");
	take_table("udp6");
	find_owners();
	for (size_t i = 0; i < count; i++)
		put_entry(fields, &sockets[i]);
}
