/* Programs that are part of the agent, for images that have none: they run in a child process
 * under the requested user, as any exec does. */
#ifndef BANGER_APPLET_H
#define BANGER_APPLET_H

#include <stdbool.h>

#include "fields.h"

bool applet_exists(struct span name);
/* argv holds the arguments without the applet's name. Returns the exit code. */
int applet_run(const char *name, int argc, char **argv);

/* What tar_in returns for an archive that is malformed or cut short; 1 is for what could not be made of it. */
enum { TAR_BROKEN = 3 };

int tar_out(int argc, char **argv);
int tar_in(int argc, char **argv);

#endif
