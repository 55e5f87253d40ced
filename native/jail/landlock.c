#include "landlock.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers of linux/landlock.h: the headers of the build may be older than the kernel. */
enum {
	EXECUTE = 1 << 0,
	WRITE_FILE = 1 << 1,
	READ_FILE = 1 << 2,
	READ_DIR = 1 << 3,
	REMOVE_DIR = 1 << 4,
	REMOVE_FILE = 1 << 5,
	MAKE_DIR = 1 << 7,
	MAKE_REG = 1 << 8,
	MAKE_SOCK = 1 << 9,
	MAKE_SYM = 1 << 12,
	FIRST = (1 << 13) - 1, /* all rights of version 1 */
	REFER = 1 << 13,       /* version 2 */
	TRUNCATE = 1 << 14,    /* version 3 */
	IOCTL_DEV = 1 << 15,   /* version 5 */
};
enum { CONNECT_AND_BIND_TCP = 3 };          /* version 4 */
enum { ABSTRACT_SOCKETS_AND_SIGNALS = 3 };  /* version 6 */
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446 }; /* system calls, the same on all architectures */
enum { VERSION_FLAG = 1, RULE_PATH_BENEATH = 1 };

struct ruleset {
	uint64_t files, network, scoped;
};
struct __attribute__((packed)) path_rule {
	uint64_t allowed;
	int32_t parent;
};

int landlock_version(void)
{
	long version = syscall(CREATE_RULESET, NULL, 0, VERSION_FLAG);

	return version < 0 ? 0 : (int)version;
}

static uint64_t handled(int version)
{
	return FIRST | (version >= 2 ? REFER : 0) | (version >= 3 ? TRUNCATE : 0) | (version >= 5 ? IOCTL_DEV : 0);
}

static uint64_t allowed(enum place_kind kind)
{
	switch (kind) {
	case PLACE_READ: return EXECUTE | READ_FILE | READ_DIR;
	case PLACE_WRITE: return READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | MAKE_REG | REMOVE_FILE;
	case PLACE_TREE:
		return READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | REFER | MAKE_REG | MAKE_DIR | MAKE_SYM | REMOVE_FILE |
		       REMOVE_DIR;
	case PLACE_SOCKETS: return allowed(PLACE_WRITE) | MAKE_SOCK;
	case PLACE_DEVICE: return READ_FILE | WRITE_FILE | IOCTL_DEV;
	case PLACE_LINK:
	case PLACE_SCRATCH: break; /* who makes devices also mounts, which no rule of Landlock lets pass */
	}
	return 0;
}

static void allow(int rules, const struct place *place, uint64_t known)
{
	struct stat found;
	struct path_rule rule = {.allowed = allowed(place->kind) & known};

	rule.parent = open(place->path, O_PATH | O_CLOEXEC);
	if (rule.parent < 0 || fstat(rule.parent, &found) != 0)
		fail("landlock", place->path);
	if (!S_ISDIR(found.st_mode))
		rule.allowed &= EXECUTE | READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV;
	if (syscall(ADD_RULE, rules, RULE_PATH_BENEATH, &rule, 0) != 0)
		fail("landlock_add_rule", place->path);
	close(rule.parent);
}

void landlock_restrict(const struct jail *jail)
{
	int version = landlock_version();
	struct ruleset wanted = {.files = handled(version)};
	size_t size = version >= 6 ? sizeof wanted : version >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);

	if (version == 0) {
		errno = ENOSYS;
		fail("landlock", NULL);
	}
	if (version >= 4 && jail->landlock_network)
		wanted.network = CONNECT_AND_BIND_TCP;
	if (version >= 6)
		wanted.scoped = ABSTRACT_SOCKETS_AND_SIGNALS;
	int rules = (int)syscall(CREATE_RULESET, &wanted, size, 0);
	if (rules < 0)
		fail("landlock_create_ruleset", NULL);
	for (size_t i = 0; i < jail->place_count; i++)
		if (jail->places[i].kind != PLACE_LINK)
			allow(rules, &jail->places[i], wanted.files);
	if (syscall(RESTRICT_SELF, rules, 0) != 0)
		fail("landlock_restrict_self", NULL);
	close(rules);
}
