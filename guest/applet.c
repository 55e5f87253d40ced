#include "applet.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"
#include "files.h"

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return "file";
	case S_IFDIR: return "directory";
	case S_IFLNK: return "symlink";
	case S_IFCHR: return "char";
	case S_IFBLK: return "block";
	case S_IFIFO: return "fifo";
	case S_IFSOCK: return "socket";
	default: return "unknown";
	}
}

/* stat [--no-follow] PATH: one line "type mode uid gid size mtime". */
static int stat_path(int argc, char **argv)
{
	bool no_follow = argc > 0 && strcmp(argv[0], "--no-follow") == 0;
	const char *path = argc == 1 + no_follow ? argv[argc - 1] : "";
	char line[512];
	struct stat stat_;
	int length, code = 0;

	if ((no_follow ? lstat : stat)(path, &stat_) == 0) {
		length = snprintf(line, sizeof line, "%s %04o %u %u %lld %lld\n",
				  type_name(stat_.st_mode), stat_.st_mode & 07777, stat_.st_uid,
				  stat_.st_gid, (long long)stat_.st_size, (long long)stat_.st_mtime);
	} else {
		code = path_failure(errno);
		length = snprintf(line, sizeof line, "stat: %.400s: %s\n", path, strerror(errno));
	}
	return write_all(code ? 2 : 1, line, (size_t)length) < 0 ? 1 : code;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} applets[] = {
	{ "tar-out", tar_out },
	{ "tar-in", tar_in },
	{ "stat", stat_path },
	{ "sftp", sftp_serve },
	{ "connect", connect_and_carry },
	{ "listen", listen_and_carry },
	{ "tree", tree_list },
	{ "watch", watch_tree },
};

enum { APPLETS = sizeof applets / sizeof applets[0] };

bool applet_exists(struct span name)
{
	for (size_t i = 0; i < APPLETS; i++)
		if (span_is(name, applets[i].name))
			return true;
	return false;
}

int applet_run(const char *name, int argc, char **argv)
{
	for (size_t i = 0; i < APPLETS; i++)
		if (name && strcmp(name, applets[i].name) == 0)
			return applets[i].run(argc, argv);
	return 127;
}
