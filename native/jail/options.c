#include "options.h"

#include "fail.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct name {
	const char *name;
	int value;
};

static const struct name NAMESPACES[] = {
	{"user", CLONE_NEWUSER}, {"mount", CLONE_NEWNS}, {"pid", CLONE_NEWPID},
	{"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS},  {"net", CLONE_NEWNET},
};

static int look_up(const struct name *names, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i].name, text) == 0)
			return names[i].value;
	fail_usage("unknown name", text);
}

static unsigned long long read_number(const char *text)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-')
		fail_usage("not a number", text);
	return value;
}

static unsigned read_id(const char *text)
{
	unsigned long long id = read_number(text);

	if (id == 0 || id >= UINT_MAX)
		fail_usage("not the number of a user or group", text);
	return (unsigned)id;
}

static unsigned long long read_capability(const char *text)
{
	unsigned long long number = read_number(text);

	if (number > 63)
		fail_usage("not the number of a capability", text);
	return 1ULL << number;
}

static char *read_link(const char *path)
{
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof target - 1);

	if (length < 0)
		fail("readlink", path);
	target[length] = 0;
	return strdup(target);
}

static void add_place(struct jail *jail, enum place_kind kind, const char *path)
{
	if (jail->place_count == JAIL_MAX_PLACES)
		fail_usage("too many paths", path);
	if (path[0] != '/')
		fail_usage("not an absolute path", path);
	char *link = kind == PLACE_LINK ? read_link(path) : NULL;
	jail->places[jail->place_count++] = (struct place){kind, path, path, link, -1};
}

/* The place that was named last is elsewhere inside. */
static void move_place(struct jail *jail, const char *path)
{
	if (jail->place_count == 0 || path[0] != '/')
		fail_usage("no place for this path, or not an absolute path", path);
	jail->places[jail->place_count - 1].path = path;
}

static void add_group(struct jail *jail, const char *path)
{
	if (jail->group_count == JAIL_MAX_GROUPS)
		fail_usage("too many control groups", path);
	jail->groups[jail->group_count++] = path;
}

/* RESOURCE=SOFT or RESOURCE=SOFT:HARD; RESOURCE is the number for setrlimit. */
static void add_bound(struct jail *jail, char *text)
{
	char *equals = strchr(text, '=');

	if (!equals || jail->bound_count == JAIL_MAX_BOUNDS)
		fail_usage("a wrong limit, or too many of them", text);
	*equals = 0;
	unsigned long long resource = read_number(text);
	if (resource >= RLIM_NLIMITS)
		fail_usage("unknown resource", text);
	char *colon = strchr(equals + 1, ':');
	if (colon)
		*colon = 0;
	unsigned long long soft = read_number(equals + 1);
	jail->bounds[jail->bound_count++] = (struct bound){(int)resource, soft, colon ? read_number(colon + 1) : soft};
}

/* The value of `--name=value`; NULL if the argument is another option. */
static char *value_of(char *argument, const char *name)
{
	size_t length = strlen(name);

	return strncmp(argument, name, length) == 0 && argument[length] == '=' ? argument + length + 1 : NULL;
}

static void read_option(struct jail *jail, char *argument)
{
	char *value;

	if (strcmp(argument, "--landlock") == 0)
		jail->landlock = true;
	else if (strcmp(argument, "--landlock-network") == 0)
		jail->landlock_network = true;
	else if (strcmp(argument, "--seccomp") == 0)
		jail->seccomp = true;
	else if (strcmp(argument, "--seccomp-network") == 0)
		jail->seccomp_network = true;
	else if ((value = value_of(argument, "--group")))
		add_group(jail, value);
	else if ((value = value_of(argument, "--limit")))
		add_bound(jail, value);
	else if ((value = value_of(argument, "--read")))
		add_place(jail, PLACE_READ, value);
	else if ((value = value_of(argument, "--write")))
		add_place(jail, PLACE_WRITE, value);
	else if ((value = value_of(argument, "--tree")))
		add_place(jail, PLACE_TREE, value);
	else if ((value = value_of(argument, "--sockets")))
		add_place(jail, PLACE_SOCKETS, value);
	else if ((value = value_of(argument, "--link")))
		add_place(jail, PLACE_LINK, value);
	else if ((value = value_of(argument, "--device")))
		add_place(jail, PLACE_DEVICE, value);
	else if ((value = value_of(argument, "--scratch")))
		add_place(jail, PLACE_SCRATCH, value);
	else if ((value = value_of(argument, "--at")))
		move_place(jail, value);
	else if ((value = value_of(argument, "--namespace")))
		jail->namespaces |= look_up(NAMESPACES, sizeof NAMESPACES / sizeof *NAMESPACES, value);
	else if ((value = value_of(argument, "--directory")))
		jail->directory = value;
	else if ((value = value_of(argument, "--user")))
		jail->user = read_id(value);
	else if ((value = value_of(argument, "--also-group")))
		jail->also_group = read_id(value);
	else if ((value = value_of(argument, "--capability")))
		jail->capabilities |= read_capability(value);
	else if ((value = value_of(argument, "--tap")))
		jail->tap = (int)read_number(value);
	else if ((value = value_of(argument, "--report")))
		jail->report = (int)read_number(value);
	else
		fail_usage("unknown option", argument);
}

void options_read(int argc, char **argv, struct jail *jail)
{
	int i = 1;

	*jail = (struct jail){.report = -1, .tap = -1};
	for (; i < argc && strcmp(argv[i], "--") != 0; i++)
		read_option(jail, argv[i]);
	if (i >= argc - 1)
		fail_usage("no program given", NULL);
	jail->argv = argv + i + 1;
}
