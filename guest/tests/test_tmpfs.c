#include <string.h>

#include "../tmpfs.h"
#include "check.h"

static int parse(const char *text, struct tmpfs_wish *wish)
{
	struct err err;

	return tmpfs_parse((struct span){ text, strlen(text) }, wish, &err);
}

void test_tmpfs(void)
{
	static char long_text[TMPFS_TEXT_MAX + 1];
	static struct tmpfs_wish wish;

	CHECK(parse("14 size=64m,mode=1777 /run/my files", &wish) == 0);
	CHECK(wish.flags == 14);
	CHECK(strcmp(wish.options, "size=64m,mode=1777") == 0);
	CHECK(strcmp(wish.path, "/run/my files") == 0);
	CHECK(parse("0  /x", &wish) == 0 && wish.options[0] == 0 && strcmp(wish.path, "/x") == 0);
	CHECK(parse("", &wish) < 0);
	CHECK(parse("x size=1 /a", &wish) < 0);
	CHECK(parse("1", &wish) < 0);
	CHECK(parse("1 size=1", &wish) < 0);
	CHECK(parse("1 size=1 ", &wish) < 0);
	CHECK(parse("1 size=1 relative", &wish) < 0);
	CHECK(parse("99999999999999999999999 a /b", &wish) < 0);
	memset(long_text, '1', sizeof long_text - 1);
	CHECK(parse(long_text, &wish) < 0);
}
