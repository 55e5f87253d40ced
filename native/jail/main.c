/* jail: confines itself, then becomes a program.
 *
 * One step in front of every VMM. It enters control groups and namespaces, changes to a root directory that has only
 * what the program needs, gives up all capabilities, and executes the program. Each layer is asked for by an option; a
 * layer that the kernel refuses ends the jail, and the program does not run. See README.md. */
#include "fail.h"
#include "jail.h"
#include "landlock.h"
#include "namespaces.h"
#include "options.h"
#include "privileges.h"
#include "probe.h"
#include "root.h"
#include "seccomp.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void enter_groups(const struct jail *jail)
{
	for (size_t i = 0; i < jail->group_count; i++) {
		int fd = open(jail->groups[i], O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "0", 1) != 1)
			fail("control group", jail->groups[i]);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	struct jail jail;

	if (argc == 2 && strcmp(argv[1], "--probe") == 0)
		return probe();
	options_read(argc, argv, &jail);
	fail_report_to(jail.report);
	if (jail.report >= 0 && fcntl(jail.report, F_SETFD, FD_CLOEXEC) != 0)
		fail("report", NULL);
	enter_groups(&jail);
	privileges_freeze();
	namespaces_enter(jail.namespaces);
	if (jail.namespaces & CLONE_NEWNS)
		root_change(&jail);
	if (jail.directory && chdir(jail.directory) != 0)
		fail("working directory", jail.directory);
	if (jail.landlock)
		landlock_restrict(&jail);
	privileges_bound(&jail);
	if (jail.namespaces & CLONE_NEWPID)
		namespaces_descend(jail.report);
	else if (jail.report >= 0)
		dprintf(jail.report, "%d\n", (int)getpid());
	/* Dropping the bounding set needs a capability, so it comes first: a change of the user loses capabilities. */
	privileges_drop_bounding(&jail);
	privileges_change_user(&jail);
	privileges_drop(&jail);
	if (jail.tap >= 0)
		tap_lend(jail.tap, jail.argv);
	if (jail.seccomp)
		seccomp_restrict(&jail);
	execv(jail.argv[0], jail.argv);
	dprintf(STDERR_FILENO, "jail: %s: %s\n", jail.argv[0], strerror(errno));
	return EXIT_NO_PROGRAM;
}
