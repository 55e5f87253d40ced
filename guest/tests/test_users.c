#include <string.h>

#include "check.h"
#include "users.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
			     "# a remark\n"
			     "\n"
			     "broken:x\n"
			     "huge:x:4294967295:0::/:\n"
			     "alice:x:1000:100:Alice,,,:/home/alice:/bin/zsh\n"
			     "42:x:1042:1042::/home/number:/bin/sh\n"
			     "short:x:7:8";
static const char group[] = "root:x:0:\n"
			    "users:x:100:bob\n"
			    "wheel:x:10:root,alice\n"
			    "docker:x:999:alice\n"
			    "alicex:x:11:alicexx,xalice\n";

static void specs_resolve(void)
{
	static const struct {
		const char *spec;
		uid_t uid;
		gid_t gid;
		const char *name, *home, *shell;
		size_t groups;
	} table[] = {
		{ "", 0, 0, "root", "/root", "/bin/bash", 1 },
		{ "root", 0, 0, "root", "/root", "/bin/bash", 1 },
		{ "0", 0, 0, "root", "/root", "/bin/bash", 1 },
		{ "alice", 1000, 100, "alice", "/home/alice", "/bin/zsh", 2 },
		{ "1000", 1000, 100, "alice", "/home/alice", "/bin/zsh", 2 },
		{ "alice:wheel", 1000, 10, "alice", "/home/alice", "/bin/zsh", 0 },
		{ "alice:55", 1000, 55, "alice", "/home/alice", "/bin/zsh", 0 },
		{ "42", 1042, 1042, "42", "/home/number", "/bin/sh", 0 },
		{ "5000", 5000, 0, "", "/", "/bin/sh", 0 },
		{ "5000:6000", 5000, 6000, "", "/", "/bin/sh", 0 },
		{ "short", 7, 8, "short", "/", "/bin/sh", 0 },
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct user user;
		struct err err;

		CHECK(user_resolve(&user, table[i].spec, passwd, group, &err) == 0);
		CHECK(user.uid == table[i].uid && user.gid == table[i].gid);
		CHECK(strcmp(user.name, table[i].name) == 0);
		CHECK(strcmp(user.home, table[i].home) == 0);
		CHECK(strcmp(user.shell, table[i].shell) == 0);
		CHECK(user.group_count == table[i].groups);
	}
}

static void unknown_ones_are_refused(void)
{
	static const char *const table[] = { "bob",  "alice:nobody", "4294967295", "99999999999",
					     "-1",   "huge",         "broken",     "alice:",
					     "0x10", "alice:wheel:x" };

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct user user;
		struct err err;

		CHECK(user_resolve(&user, table[i], passwd, group, &err) < 0);
		CHECK(err.code == ERR_NO_SUCH_USER);
	}
}

static void an_image_without_the_files_has_root_and_numbers(void)
{
	struct user user;
	struct err err;

	CHECK(user_resolve(&user, "root", "", "", &err) == 0 && user.uid == 0);
	CHECK(user_resolve(&user, "", "", "", &err) == 0 && strcmp(user.home, "/") == 0);
	CHECK(user_resolve(&user, "65532:65532", "", "", &err) == 0 && user.gid == 65532);
	CHECK(user_resolve(&user, "nobody", "", "", &err) < 0);
}

void test_users(void)
{
	specs_resolve();
	unknown_ones_are_refused();
	an_image_without_the_files_has_root_and_numbers();
}
