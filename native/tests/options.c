/* The command line of the jail: what it fills in, and that it runs nothing when it is wrong. */
#include "../jail/options.h"

#include "../jail/fail.h"

#include <assert.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ARGUMENTS = 512 };

/* Copies of the words, since options are taken apart in place. */
static char **arguments_of(const char *const *words, int *count)
{
	char **arguments = calloc(MAX_ARGUMENTS, sizeof *arguments);

	assert(arguments);
	arguments[0] = strdup("jail");
	for (*count = 1; words[*count - 1]; ++*count) {
		assert(*count < MAX_ARGUMENTS - 1);
		arguments[*count] = strdup(words[*count - 1]);
	}
	return arguments;
}

static void release(char **arguments, int count)
{
	for (int i = 0; i < count; i++)
		free(arguments[i]);
	free(arguments);
}

static void release_links(struct jail *jail)
{
	for (size_t i = 0; i < jail->place_count; i++)
		free(jail->places[i].link);
}

/* The exit code of a process that reads these; -1 if it was ended by a signal, as a sanitizer does. */
static int code_of(const char *const *words)
{
	int status;
	pid_t child = fork();

	assert(child >= 0);
	if (child == 0) {
		struct jail jail;
		int count;
		char **arguments = arguments_of(words, &count);
		close(STDERR_FILENO);
		options_read(count, arguments, &jail);
		_exit(0);
	}
	assert(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_all_options(void)
{
	const char *const words[] = {
		"--group=/g/tasks", "--limit=7=64:128", "--limit=4=0", "--namespace=mount", "--namespace=pid",
		"--landlock", "--landlock-network", "--read=/usr", "--write=/vm", "--sockets=/run/vm", "--device=/dev/null", "--user=1879048193",
		"--scratch=/s", "--write=/vm/disk", "--at=/s/disk",
		"--also-group=104", "--directory=/vm", "--tap=6", "--report=5", "--", "/bin/true", "--landlock", NULL,
	};
	struct jail jail;
	int count;
	char **arguments = arguments_of(words, &count);

	options_read(count, arguments, &jail);
	assert(jail.group_count == 1 && strcmp(jail.groups[0], "/g/tasks") == 0);
	assert(jail.bound_count == 2);
	assert(jail.bounds[0].resource == 7 && jail.bounds[0].soft == 64 && jail.bounds[0].hard == 128);
	assert(jail.bounds[1].resource == 4 && jail.bounds[1].soft == 0 && jail.bounds[1].hard == 0);
	assert(jail.namespaces == (CLONE_NEWNS | CLONE_NEWPID));
	assert(jail.landlock && jail.landlock_network);
	assert(jail.place_count == 6);
	assert(jail.places[4].kind == PLACE_SCRATCH);
	assert(strcmp(jail.places[5].source, "/vm/disk") == 0 && strcmp(jail.places[5].path, "/s/disk") == 0);
	assert(jail.places[1].kind == PLACE_WRITE && strcmp(jail.places[1].path, "/vm") == 0);
	assert(jail.places[2].kind == PLACE_SOCKETS && strcmp(jail.places[2].path, "/run/vm") == 0);
	assert(jail.user == 1879048193U && jail.also_group == 104 && jail.report == 5 && jail.tap == 6);
	assert(strcmp(jail.directory, "/vm") == 0);
	assert(strcmp(jail.argv[0], "/bin/true") == 0 && strcmp(jail.argv[1], "--landlock") == 0);
	assert(!jail.argv[2]);
	release_links(&jail);
	release(arguments, count);
}

static void test_a_link_is_known_as_one(void)
{
	const char *const words[] = {"--link=/proc/self", "--read=/proc/self", "--", "/bin/true", NULL};
	struct jail jail;
	int count;
	char **arguments = arguments_of(words, &count);

	options_read(count, arguments, &jail);
	assert(jail.places[0].link && atoi(jail.places[0].link) == getpid());
	assert(!jail.places[1].link);
	release_links(&jail);
	release(arguments, count);
}

static void test_wrong_options_run_nothing(void)
{
	const char *const wrong[] = {
		"--unknown", "--read", "--read=relative", "--limit=7", "--limit==1", "--limit=7=x", "--limit=7=1:", "--limit=99=1",
		"--limit=7=-1", "--namespace=house", "--user=0", "--user=4294967295", "--user=", "--report=x", "--groups=/g", "word", "--at=/s",
	};

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		const char *const words[] = {wrong[i], "--", "/bin/true", NULL};
		assert(code_of(words) == EXIT_USAGE);
	}
	assert(code_of((const char *const[]){"--read=/usr", "--at=s", "--", "/bin/true", NULL}) == EXIT_USAGE);
	assert(code_of((const char *const[]){"--landlock", NULL}) == EXIT_USAGE);
	assert(code_of((const char *const[]){"--landlock", "--", NULL}) == EXIT_USAGE);
	assert(code_of((const char *const[]){NULL}) == EXIT_USAGE);
}

static void test_too_many_of_anything(void)
{
	const struct {
		const char *option;
		int most;
	} kinds[] = {
		{"--read=/usr", JAIL_MAX_PLACES}, {"--group=/g", JAIL_MAX_GROUPS}, {"--limit=4=0", JAIL_MAX_BOUNDS}};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		const char *words[MAX_ARGUMENTS] = {NULL};
		int count = 0;
		for (; count < kinds[i].most; count++)
			words[count] = kinds[i].option;
		words[count] = "--";
		words[count + 1] = "/bin/true";
		assert(code_of(words) == 0);
		words[count] = kinds[i].option;
		words[count + 1] = "--";
		words[count + 2] = "/bin/true";
		assert(code_of(words) == EXIT_USAGE);
	}
}

int main(void)
{
	test_all_options();
	test_a_link_is_known_as_one();
	test_wrong_options_run_nothing();
	test_too_many_of_anything();
	puts("ok: the options of the jail");
	return 0;
}
