#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../copy_up.h"
#include "../files.h"
#include "../volume.h"
#include "check.h"

static struct err err;

static int parse(const char *text, struct volume *volume)
{
	return volume_parse((struct span){ text, strlen(text) }, volume, &err);
}

static void test_parse(void)
{
	static const char *const wrong[] = {
		"", "0", "0 1", "0 1 0", "0 1 0 ", "0 1 0 relative", "x 1 0 /a", "0 x 0 /a", "0 1 4 /a", "-1 1 0 /a",
		"16 1 0 /a", "0 9223372036854775808 0 /a", "0 99999999999999999999999 0 /a", "0  1 0 /a", "0 1 0  /a",
	};
	static char long_text[PATH_MAX + 100] = "0 1 0 /";
	static struct volume volume;

	CHECK(parse("3 1073741824 1 /srv/my files", &volume) == 0);
	CHECK(volume.slot == 3 && volume.bytes == 1073741824 && volume.read_only);
	CHECK(strcmp(volume.path, "/srv/my files") == 0);
	CHECK(parse("0 0 2 /", &volume) == 0 && !volume.read_only && volume.no_copy && strcmp(volume.path, "/") == 0);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		CHECK(parse(wrong[i], &volume) < 0);
	memset(long_text + strlen(long_text), 'a', PATH_MAX);
	CHECK(parse(long_text, &volume) < 0);
}

static char top[] = "/tmp/banger-volumes-XXXXXX";

static void put(const char *path, const char *text)
{
	CHECK(file_replace(path, text, strlen(text), 0640) == 0);
}

static bool has(const char *path, const char *text)
{
	char found[64];

	return file_read(path, found, sizeof found) == (ssize_t)strlen(text) && strcmp(found, text) == 0;
}

static int copy(void)
{
	int hidden = open("hidden", O_RDONLY | O_DIRECTORY | O_CLOEXEC), done = copy_up(hidden, "volume", &err);

	close(hidden);
	return done;
}

static void begin(void)
{
	CHECK(system("rm -rf hidden volume && mkdir -m 0710 hidden && mkdir -p hidden/a/b volume") == 0);
	put("hidden/a/b/file", "contents");
	CHECK(symlink("a/b", "hidden/link") == 0 && mkfifo("hidden/pipe", 0600) == 0);
}

static void test_copy(void)
{
	struct stat stat_;

	begin();
	CHECK(copy() == 0);
	CHECK(has("volume/a/b/file", "contents") && has("volume/link/file", "contents"));
	CHECK(lstat("volume/link", &stat_) == 0 && S_ISLNK(stat_.st_mode));
	CHECK(lstat("volume/pipe", &stat_) == 0 && S_ISFIFO(stat_.st_mode));
	CHECK(stat("volume/a/b/file", &stat_) == 0 && (stat_.st_mode & 07777) == 0640);
	CHECK(stat("volume", &stat_) == 0 && (stat_.st_mode & 07777) == 0710);
	put("volume/a/b/file", "mine");
	CHECK(copy() == 0 && has("volume/a/b/file", "mine"));
}

/* Broken off while files were copied, and while the copies moved to their places. */
static void test_again(void)
{
	begin();
	CHECK(mkdir("volume/.banger-copying", 0700) == 0);
	put("volume/.banger-copying/half", "ha");
	CHECK(copy() == 0);
	CHECK(has("volume/a/b/file", "contents") && access("volume/half", F_OK) < 0);
	CHECK(access("volume/.banger-copying", F_OK) < 0);
	begin();
	put("volume/moved", "1");
	CHECK(mkdir("volume/.banger-copied", 0700) == 0);
	put("volume/.banger-copied/late", "2");
	CHECK(copy() == 0);
	CHECK(has("volume/moved", "1") && has("volume/late", "2"));
	CHECK(access("volume/.banger-copied", F_OK) < 0 && access("volume/a", F_OK) < 0);
}

void test_volumes(void)
{
	char here[PATH_MAX];

	test_parse();
	CHECK(getcwd(here, sizeof here) && mkdtemp(top) && chdir(top) == 0);
	test_copy();
	test_again();
	CHECK(chdir(here) == 0);
	CHECK(system("rm -rf /tmp/banger-volumes-??????") == 0);
}
