#include "probe.h"

#include "fail.h"
#include "landlock.h"
#include "namespaces.h"
#include "root.h"
#include "seccomp.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int user_namespace(void)
{
	return geteuid() == 0 ? 0 : CLONE_NEWUSER;
}

static void try_user(void) { namespaces_enter(CLONE_NEWUSER); }

static void try_mount(void)
{
	struct jail jail = {.places = {{PLACE_READ, "/usr", "/usr", NULL, -1}}, .place_count = 1};

	if (chdir("/") != 0)
		fail("working directory", "/");
	namespaces_enter(user_namespace() | CLONE_NEWNS);
	root_change(&jail);
}

static void try_pid(void) { namespaces_enter(user_namespace() | CLONE_NEWPID); }
static void try_ipc(void) { namespaces_enter(user_namespace() | CLONE_NEWIPC); }
static void try_uts(void) { namespaces_enter(user_namespace() | CLONE_NEWUTS); }
static void try_net(void) { namespaces_enter(user_namespace() | CLONE_NEWNET); }

static const struct {
	const char *name;
	void (*attempt)(void);
} LAYERS[] = {
	{"user", try_user}, {"mount", try_mount}, {"pid", try_pid},
	{"ipc", try_ipc},   {"uts", try_uts},     {"net", try_net},
};

/* If the attempt fails, the message of `fail` is the rest of the line. */
static int try_layer(size_t i)
{
	int status;
	pid_t child;

	printf("%s ", LAYERS[i].name);
	fflush(stdout);
	child = fork();
	if (child < 0)
		return -1;
	if (child == 0) {
		close(STDERR_FILENO);
		fail_report_to(STDOUT_FILENO);
		LAYERS[i].attempt();
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child)
		return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		printf("ok\n");
	else if (!WIFEXITED(status))
		printf("ended by signal %d\n", WTERMSIG(status));
	return 0;
}

int probe(void)
{
	int version = landlock_version();

	for (size_t i = 0; i < sizeof LAYERS / sizeof *LAYERS; i++)
		if (try_layer(i) != 0) {
			perror("jail: probe");
			return EXIT_REFUSED;
		}
	if (version)
		printf("landlock ok %d\n", version);
	else
		printf("landlock %s\n", strerror(errno));
	if (seccomp_is_there())
		printf("seccomp ok\n");
	else
		printf("seccomp %s\n", strerror(errno));
	return 0;
}
