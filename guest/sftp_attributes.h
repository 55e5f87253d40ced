/* Attributes of files as SFTP has them: size, owner, mode and times, each if its flag is set. */
#ifndef BANGER_SFTP_ATTRIBUTES_H
#define BANGER_SFTP_ATTRIBUTES_H

#include <sys/stat.h>

#include "sftp_packet.h"

enum {
	SFTP_HAS_SIZE = 1,
	SFTP_HAS_OWNER = 2,
	SFTP_HAS_MODE = 4,
	SFTP_HAS_TIMES = 8,
};

struct sftp_attributes {
	uint32_t flags;
	uint64_t size;
	uint32_t uid, gid, mode, atime, mtime;
};

struct sftp_attributes sftp_take_attributes(struct sftp_in *in);
void sftp_put_attributes(struct sftp_out *out, const struct stat *stat);
/* To an open file. 0, or -1 and errno of the first that failed; the others are set nevertheless. */
int sftp_apply_to_fd(int fd, const struct sftp_attributes *wanted);
/* To a path; with `link` to a link itself. */
int sftp_apply_to_path(const char *path, const struct sftp_attributes *wanted, bool link);
/* A line as of ls -l, which clients show to people. */
void sftp_put_long_name(struct sftp_out *out, const char *name, const struct stat *stat);

#endif
