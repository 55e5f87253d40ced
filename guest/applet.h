/* Programs that are part of the agent, for images that have none: they run in a child process
 * under the requested user, as any exec does. */
#ifndef BANGER_APPLET_H
#define BANGER_APPLET_H

#include <errno.h>
#include <stdbool.h>

#include "fields.h"

bool applet_exists(struct span name);
/* argv holds the arguments without the applet's name. Returns the exit code. */
int applet_run(const char *name, int argc, char **argv);

/* Exit codes that the host knows the meaning of; 1 is for all other failures. TAR_BROKEN: tar_in's archive is
 * malformed or cut short. PATH_MISSING: nothing is at the path of the request. */
enum { TAR_BROKEN = 3, PATH_MISSING = 4 };

/* Of an applet that could do nothing at all with its path, for that errno. */
static inline int path_failure(int number)
{
	return number == ENOENT || number == ENOTDIR ? PATH_MISSING : 1;
}

int tar_out(int argc, char **argv);
int tar_in(int argc, char **argv);
/* The server of SFTP, on stdin and stdout. */
int sftp_serve(int argc, char **argv);
int connect_and_carry(int argc, char **argv);
/* The same for connections that others make in the guest. */
int listen_and_carry(int argc, char **argv);
/* What is in the root file system. */
int tree_list(int argc, char **argv);
/* What changes in a directory. */
int watch_tree(int argc, char **argv);

#endif
