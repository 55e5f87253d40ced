#include "check.h"

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} tests[] = {
		{ "frames", test_wire },
		{ "frames, at random", test_wire_fuzz },
		{ "fields", test_fields },
		{ "pieces of requests", test_pieces },
		{ "streams", test_stream },
		{ "users", test_users },
		{ "tmpfs", test_tmpfs },
		{ "tar numbers", test_tar_numbers },
		{ "tar verdicts", test_tar_verdicts },
		{ "tar trees", test_tar_trees },
		{ "lists of trees", test_tree },
		{ "changes in trees", test_watch },
		{ "socket tables", test_sockets },
		{ "values", test_values },
		{ "ext4", test_ext4 },
		{ "files", test_files },
		{ "kills for memory", test_oom },
		{ "modules", test_modules },
		{ "IPv6 addresses", test_inet6 },
		{ "the keeper", test_keeper },
		{ "connections to ports", test_dial },
		{ "volumes", test_volumes },
		{ "the stream of directories", test_share_stream },
	};

	for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
		tests[i].run();
		printf("ok: %s\n", tests[i].name);
	}
	return 0;
}
