#include "relay_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers of linux/landlock.h: the headers of the build may be older than the kernel. */
enum {
	EXECUTE_TO_MAKE_SYM = (1 << 13) - 1, /* all rights of version 1 */
	READ_FILE = 1 << 2,
	REFER = 1 << 13,     /* version 2 */
	TRUNCATE = 1 << 14,  /* version 3 */
	IOCTL_DEV = 1 << 15, /* version 5 */
	ABSTRACT_SOCKETS_AND_SIGNALS = 3, /* version 6 */
};
enum { BIND_TCP = 1 }; /* version 4; to connect needs no such right */
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446 }; /* the same on all architectures */
enum { VERSION_FLAG = 1, RULE_PATH_BENEATH = 1 };
enum { MEMORY_MOST = 64 << 20, FILE_MOST = 16 << 20 };

struct ruleset {
	uint64_t files, network, scoped;
};
struct __attribute__((packed)) path_rule {
	uint64_t allowed;
	int32_t parent;
};

static const char resolver[] = "/etc/resolv.conf";

static void fail(const char *what)
{
	dprintf(STDERR_FILENO, "relay: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static rlim_t bound(int resource, rlim_t most)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) != 0)
		fail("getrlimit");
	if (limit.rlim_max > most)
		limit.rlim_max = most;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(resource, &limit) != 0)
		fail("setrlimit");
	return limit.rlim_cur;
}

unsigned long confine_descriptors(unsigned long wanted)
{
	return bound(RLIMIT_NOFILE, wanted);
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) != 0)
		fail("capset");
}

static void allow_directory_of(int rules, const char *path)
{
	char directory[PATH_MAX];
	struct path_rule rule = {.allowed = READ_FILE};

	if (!realpath(path, directory))
		return;
	*strrchr(directory, '/') = 0;
	rule.parent = open(directory[0] ? directory : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.parent < 0)
		return;
	(void)syscall(ADD_RULE, rules, RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent);
}

/* Programs replace the file by another one of the same name, so its directory must be readable: both that of the name
 * and that of what it may link to. */
static void restrict_files(void)
{
	long version = syscall(CREATE_RULESET, NULL, 0, VERSION_FLAG);
	struct ruleset wanted = {.files = EXECUTE_TO_MAKE_SYM};
	struct path_rule rule = {.allowed = READ_FILE};

	if (version < 1)
		return;
	wanted.files |= (version >= 2 ? REFER : 0) | (version >= 3 ? TRUNCATE : 0) | (version >= 5 ? IOCTL_DEV : 0);
	/* The relay listens at what it is given, and at nothing else. */
	if (version >= 4)
		wanted.network = BIND_TCP;
	if (version >= 6)
		wanted.scoped = ABSTRACT_SOCKETS_AND_SIGNALS;
	size_t size = version >= 6 ? sizeof wanted : version >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
	int rules = (int)syscall(CREATE_RULESET, &wanted, size, 0);
	if (rules < 0)
		fail("landlock_create_ruleset");
	rule.parent = open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.parent >= 0) {
		(void)syscall(ADD_RULE, rules, RULE_PATH_BENEATH, &rule, 0);
		close(rule.parent);
	}
	allow_directory_of(rules, resolver);
	if (syscall(RESTRICT_SELF, rules, 0) != 0)
		fail("landlock_restrict_self");
	close(rules);
}

void confine(void)
{
	/* It stays dumpable (a core is forbidden below): else the next daemon of an ordinary user could not read the marker
	 * by which it finds the relay, and would start a second one. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		fail("prctl");
	/* A kernel without huge pages refuses this call, which is then not needed. */
	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	bound(RLIMIT_CORE, 0);
#ifndef __SANITIZE_ADDRESS__ /* whose shadow is larger than any limit */
	bound(RLIMIT_AS, MEMORY_MOST);
#endif
	bound(RLIMIT_FSIZE, FILE_MOST);
	bound(RLIMIT_NPROC, 0);
	restrict_files();
	drop_capabilities();
}
