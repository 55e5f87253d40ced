/* Requests that no kernel makes: every kind of them, with nodes, handles, names and lengths by chance. The sanitizers say
 * whether one of them reads or writes where it may not; what lies beside the directory stays as it is. */
#include "served.h"

#include <errno.h>

enum { REQUESTS = 60000, NAMES = 8 };

static uint64_t state = 0x5eed;

static uint32_t any(uint32_t most)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 33) % most;
}

/* Mostly one that is there. */
static uint64_t any_node(void)
{
	return any(8) == 0 ? any(UINT32_MAX) : any(5) == 0 ? FUSE_ROOT_ID : 1000 + any((uint32_t)(served.nodes.next - 1000) + 2);
}

static size_t put_name(uint8_t *at)
{
	static const char *const SOME[NAMES] = {"a", "b", "c", "d", "..", ".", "x/y", ""};
	const char *name = SOME[any(NAMES)];

	memcpy(at, name, strlen(name) + 1);
	return strlen(name) + (any(20) ? 1 : 0);
}

/* Numbers as they come in arguments: handles, offsets, flags, nodes. */
static size_t put_numbers(uint8_t *at, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t choice = any(6);
		uint64_t number = choice == 0 ? (uint64_t)77 << 32 | any(64) : choice == 1 ? any_node() : choice == 2 ? any(4096) :
				  choice == 3 ? 0 : choice == 4 ? state : any(1 << 13);

		memcpy(at + 8 * i, &number, sizeof number);
	}
	return 8 * count;
}

static void ask_for_anything(void)
{
	struct fuse_in_header in = {.opcode = any(56), .nodeid = any_node(), .unique = 9};
	size_t length = sizeof in;

	length += put_numbers(asked + length, any(12));
	if (any(2))
		length += 4; /* what was there before: some arguments are odd */
	for (uint32_t names = any(3); names; names--)
		length += put_name(asked + length);
	if (any(10) == 0)
		length += any(300);
	in.len = any(50) ? (uint32_t)length : any(1000);
	memcpy(asked, &in, sizeof in);
	assert(request_answer(&served, asked, length, answered) <= MESSAGE_MOST);
}

/* All that is below the directory, as a sum: names, kinds, sizes, modes, and when each was changed last. */
static uint64_t sum;

static int add_to_sum(const char *path, const struct stat *found, int kind, struct FTW *where)
{
	const int64_t facts[] = {found->st_size, found->st_mode, found->st_ctim.tv_sec, found->st_ctim.tv_nsec, (int64_t)found->st_ino};

	(void)kind, (void)where;
	for (const char *at = path; *at; at++)
		sum = sum * 31 + (uint8_t)*at;
	for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
		sum = sum * 31 + (uint64_t)facts[i];
	return 0;
}

static uint64_t sum_of_all(void)
{
	sum = 0;
	nftw(served_path, add_to_sum, 16, FTW_PHYS);
	return sum;
}

static void nothing_changes_what_is_for_reading_only(void)
{
	serve(true);
	assert(symlink("../secret", host("a")) == 0 && mkdir(host("b"), 0755) == 0 && mkdir(host("b/a"), 0755) == 0);
	close(open(host("c"), O_CREAT | O_WRONLY, 0600));
	uint64_t before = sum_of_all();
	for (int i = 0; i < REQUESTS; i++)
		ask_for_anything();
	assert(served.nodes.next > 1003);
	assert(sum_of_all() == before);
	serve_no_more();
}

int main(void)
{
	struct stat secret;
	char path[PATH_MAX];

	umask(0);
	serve(false);
	assert(symlink("../secret", host("a")) == 0 && mkdir(host("b"), 0755) == 0);
	for (int i = 0; i < REQUESTS; i++)
		ask_for_anything();
	for (size_t length = 0; length < 200; length++)
		request_answer(&served, asked, length, answered);
	snprintf(path, sizeof path, "%.4000s/secret", served_path);
	assert(stat(path, &secret) == 0 && secret.st_size == 0 && (secret.st_mode & 07777) == 0644);
	serve_no_more();
	nothing_changes_what_is_for_reading_only();
	return 0;
}
