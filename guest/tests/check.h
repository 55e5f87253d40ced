/* The smallest test harness that says where a check failed. */
#ifndef BANGER_TESTS_CHECK_H
#define BANGER_TESTS_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                   \
	do {                                                                               \
		if (!(condition)) {                                                        \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                           \
		}                                                                          \
	} while (0)

/* Numbers that are the same in each run. */
static inline uint32_t draw(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 16);
}

void test_wire(void);
void test_wire_fuzz(void);
void test_fields(void);
void test_pieces(void);
void test_share_stream(void);
void test_stream(void);
void test_users(void);
void test_tar_numbers(void);
void test_tar_verdicts(void);
void test_tar_trees(void);
void test_sockets(void);
void test_values(void);
void test_ext4(void);
void test_files(void);
void test_oom(void);
void test_modules(void);
void test_inet6(void);
void test_keeper(void);
void test_dial(void);
void test_tmpfs(void);
void test_volumes(void);
void test_tree(void);
void test_watch(void);

#endif
