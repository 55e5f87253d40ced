#include "stats.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "files.h"

static char text[32768];

static void put_file(struct field_writer *fields, const char *name, bool first_line)
{
	char path[64];
	size_t head = strlen(name) + 1;
	ssize_t length;

	memcpy(text, name, head);
	snprintf(path, sizeof path, "/proc/%s", name);
	length = file_read(path, text + head, sizeof text - head);
	if (length < 0)
		return;
	if (first_line)
		length = (ssize_t)strcspn(text + head, "\n");
	put_bytes(fields, TAG_FILE, text, head + (size_t)length);
}

void stats_put(struct field_writer *fields)
{
	put_file(fields, "stat", true);
	put_file(fields, "meminfo", false);
	put_file(fields, "loadavg", false);
	put_file(fields, "uptime", false);
	put_file(fields, "net/dev", false);
	put_file(fields, "diskstats", false);
	stats_put_blocks(fields);
}

void stats_put_blocks(struct field_writer *fields)
{
	struct statvfs root;

	if (statvfs("/", &root) < 0)
		return;
	put_int(fields, TAG_BLOCKS, (int64_t)root.f_frsize);
	put_int(fields, TAG_BLOCKS, (int64_t)root.f_blocks);
	put_int(fields, TAG_BLOCKS, (int64_t)root.f_bfree);
	put_int(fields, TAG_BLOCKS, (int64_t)root.f_bavail);
	put_int(fields, TAG_BLOCKS, (int64_t)root.f_files);
	put_int(fields, TAG_BLOCKS, (int64_t)root.f_ffree);
}

bool stats_root_read_only(void)
{
	struct statvfs root;

	return statvfs("/", &root) == 0 && (root.f_flag & ST_RDONLY);
}

long stats_oom_kills(void)
{
	const char *line;

	/* 32 KiB hold all of it. */
	if (file_read("/proc/vmstat", text, sizeof text) < 0)
		return 0;
	line = strstr(text, "\noom_kill ");
	return line ? strtol(line + 10, NULL, 10) : 0;
}
