#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "applet.h"
#include "archives.h"
#include "check.h"


static void a_tree_comes_back_as_it_was(void)
{
	char long_name[201], long_path[256], target[256];
	struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1000000000 } };
	struct stat one, two;

	memset(long_name, 'n', 200);
	long_name[200] = 0;
	snprintf(long_path, sizeof long_path, "tree/dir/%s", long_name);
	CHECK(mkdir("tree", 0755) == 0 && mkdir("tree/dir", 0700) == 0 && mkdir("tree/empty", 01777) == 0);
	CHECK(chmod("tree/empty", 01777) == 0);
	write_file("tree/file", "contents", 0640);
	write_file(long_path, "long", 0600);
	CHECK(link("tree/file", "tree/dir/again") == 0);
	CHECK(symlink("/nowhere/at/all", "tree/absolute") == 0);
	CHECK(symlink(long_name, "tree/dir/to-long") == 0);
	CHECK(mkfifo("tree/fifo", 0600) == 0);
	CHECK(utimensat(AT_FDCWD, "tree/dir", times, 0) == 0);

	CHECK(run(tar_out, "tree", false) == 0);
	CHECK(archive_length % TAR_BLOCK == 0);
	CHECK(mkdir("copy", 0755) == 0 && run(tar_in, "copy", true) == 0);
	CHECK(file_is("copy/tree/file", "contents"));
	snprintf(long_path, sizeof long_path, "copy/tree/dir/%s", long_name);
	CHECK(file_is(long_path, "long"));
	CHECK(stat("copy/tree/file", &one) == 0 && (one.st_mode & 07777) == 0640);
	CHECK(stat("copy/tree/dir/again", &two) == 0 && one.st_ino == two.st_ino);
	CHECK(readlink("copy/tree/absolute", target, sizeof target) == 15);
	CHECK(readlink("copy/tree/dir/to-long", target, sizeof target) == 200);
	CHECK(lstat("copy/tree/fifo", &one) == 0 && S_ISFIFO(one.st_mode));
	CHECK(stat("copy/tree/dir", &one) == 0 && one.st_mtime == 1000000000);
	CHECK((one.st_mode & 07777) == 0700);
	CHECK(stat("copy/tree/empty", &one) == 0 && (one.st_mode & 07777) == 01777);
	/* Once more, over what is there. */
	CHECK(run(tar_in, "copy", true) == 0 && file_is("copy/tree/file", "contents"));
}

/* Each tries to write "evil" outside of "jail"; what is good in the same archive is still made. */
static void hostile_entries_stay_inside(void)
{
	struct stat stat_;

	CHECK(mkdir("jail", 0755) == 0 && mkdir("outside", 0755) == 0);
	write_file("outside/target", "good", 0644);
	begin();
	add('0', "../outside/evil", "", "evil");
	add('0', "a/../../outside/evil", "", "evil");
	add('0', "/tmp/banger-evil", "", "evil");
	add('2', "link", "../outside", "");
	add('0', "link/evil", "", "evil");
	add('5', "link/evil-dir", "", "");
	add('0', "./link//evil", "", "evil");
	add('1', "hard", "../outside/target", "");
	add('1', "hard", "link/target", "");
	add('2', "file-link", "../outside/target", "");
	add('0', "file-link", "", "evil"); /* takes the link's place */
	add('5', "link", "", "");          /* so does a directory */
	add('0', "link/inside", "", "fine");
	add('9', "odd", "", "odd");
	add('0', "..", "", "evil");
	add('0', "", "", "evil");
	add('0', "deep/er/file", "", "fine");
	add('5', "dir", "", "");
	add('2', "dir2", "dir", "");
	finish();
	CHECK(run(tar_in, "jail", true) == 1);
	CHECK(access("outside/evil", F_OK) < 0 && access("outside/evil-dir", F_OK) < 0);
	CHECK(access("/tmp/banger-evil", F_OK) < 0 && access("jail/hard", F_OK) < 0);
	CHECK(file_is("outside/target", "good") && file_is("jail/file-link", "evil"));
	CHECK(file_is("jail/link/inside", "fine") && file_is("jail/deep/er/file", "fine"));
	CHECK(lstat("jail/link", &stat_) == 0 && S_ISDIR(stat_.st_mode));
	/* A directory that became a link before the end gets no mode through it. */
	CHECK(chmod("outside", 0700) == 0);
	begin();
	add('5', "late", "", "");
	add('5', "late/x", "", "");
	add('2', "late/x/up", "../../../outside", "");
	finish();
	CHECK(run(tar_in, "jail", true) == 0);
	CHECK(stat("outside", &stat_) == 0 && (stat_.st_mode & 0777) == 0700);
}

static void damaged_archives_are_refused(void)
{
	begin();
	add('0', "file", "", "whole");
	archive[3] ^= 1; /* checksum */
	CHECK(run(tar_in, "jail", true) == TAR_BROKEN);
}

static int stat_applet(int argc, char **argv)
{
	return applet_run("stat", argc, argv);
}

/* By their exit codes, whatever they are called and whatever is complained about. */
static void paths_that_are_missing_are_told_from_others(void)
{
	static const char *const missing[] = { "no/such/path", "nothing", "plain/below", "dangling/below", "" };
	static int (*const applets[])(int, char **) = { tar_out, tar_in, stat_applet };

	write_file("plain", "contents", 0600);
	CHECK(symlink("No such file or directory", "dangling") == 0);
	CHECK(symlink("round", "round") == 0);
	for (size_t i = 0; i < sizeof applets / sizeof applets[0]; i++) {
		for (size_t at = 0; at < sizeof missing / sizeof missing[0]; at++)
			CHECK(run(applets[i], missing[at], false) == PATH_MISSING);
		CHECK(run(applets[i], "round/below", false) == 1);
	}
	CHECK(run(stat_applet, "dangling", false) == PATH_MISSING);
	CHECK(run(tar_in, "dangling", false) == PATH_MISSING);
	CHECK(run(tar_in, "plain", false) == PATH_MISSING);
	CHECK(run(tar_out, "dangling", false) == 0 && run(tar_out, "plain", false) == 0);
}

/* "data" at 1000 of 2000 bytes, in each form that there is. */
static void sparse_files_get_their_holes(void)
{
	static const char *const tables[] = {
		"GNU.sparse.size=2000\nGNU.sparse.numblocks=1\nGNU.sparse.offset=1000\n"
		"GNU.sparse.numbytes=4\n",
		"GNU.sparse.size=2000\nGNU.sparse.numblocks=1\nGNU.sparse.map=1000,4\n"
		"GNU.sparse.name=holes\n",
		"GNU.sparse.major=1\nGNU.sparse.minor=0\nGNU.sparse.name=holes\n"
		"GNU.sparse.realsize=2000\nsize=516\n",
	};
	char wanted[2000] = { 0 }, found[2001];

	memcpy(wanted + 1000, "data", 4);
	for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
		int fd;

		begin();
		add_records(tables[i]);
		if (i == 2) {
			add('0', "GNUSparseFile.0/holes", "", "1\n1000\n4\n");
			memset(archive + archive_length, 0, TAR_BLOCK);
			memcpy(archive + archive_length, "data", 4);
			archive_length += TAR_BLOCK;
		} else {
			add('0', i ? "GNUSparseFile.0/holes" : "holes", "", "data");
		}
		add('0', "after", "", "fine");
		finish();
		CHECK(run(tar_in, "jail", true) == 0);
		fd = open("jail/holes", O_RDONLY | O_NOFOLLOW);
		CHECK(fd >= 0 && read(fd, found, sizeof found) == 2000);
		close(fd);
		CHECK(memcmp(found, wanted, sizeof wanted) == 0 && file_is("jail/after", "fine"));
		CHECK(unlink("jail/holes") == 0 && unlink("jail/after") == 0);
	}
}

static void maps_that_are_malformed_make_no_file(void)
{
	static const char *const tables[] = {
		"GNU.sparse.size=2000\nGNU.sparse.map=1000,5\n", /* more than there is */
		"GNU.sparse.size=2000\nGNU.sparse.map=1999,4\n", /* beyond the end */
		"GNU.sparse.size=2000\nGNU.sparse.map=1000,4,9,0\n",
		"GNU.sparse.size=2000\nGNU.sparse.map=1000\n",
		"GNU.sparse.size=2000\nGNU.sparse.map=1000,4,\n",
		"GNU.sparse.size=2000\nGNU.sparse.map=1000,2,500,2\n", /* backwards */
		"GNU.sparse.size=2000\nGNU.sparse.map=1000,3,1002,1\n", /* overlapping */
		"GNU.sparse.size=2000\nGNU.sparse.map=9223372036854775807,4\n",
		"GNU.sparse.size=9223372036854775808\nGNU.sparse.map=0,4\n",
		"GNU.sparse.size=2000x\nGNU.sparse.map=0,4\n",
		"GNU.sparse.map=0,4\n",
		"GNU.sparse.size=2000\nGNU.sparse.size=\nGNU.sparse.map=0,4\n",
		"GNU.sparse.size=2000\nGNU.sparse.numblocks=1\n",
		"GNU.sparse.size=2000\nGNU.sparse.offset=0\n",
		"GNU.sparse.size=2000\nGNU.sparse.numbytes=4\nGNU.sparse.offset=0\n",
		"GNU.sparse.size=2000\nGNU.sparse.offset=0\nGNU.sparse.offset=1\nGNU.sparse.numbytes=4\n",
		"GNU.sparse.major=1\nGNU.sparse.minor=1\nGNU.sparse.realsize=2000\n",
		"GNU.sparse.size=2000\nGNU.sparse.map=-100,4\n",
		"GNU.sparse.major=2\nGNU.sparse.size=2000\n",
		"GNU.sparse.other=1\nGNU.sparse.size=2000\n",
		"GNU.sparse.major=1\nGNU.sparse.realsize=2000\n", /* "data" is no map */
	};

	for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
		begin();
		add_records(tables[i]);
		add('0', "holes", "", "data");
		finish();
		CHECK(run(tar_in, "jail", true) == TAR_BROKEN);
		CHECK(access("jail/holes", F_OK) < 0);
	}
}

/* What an earlier header said is not said by the one that follows it. */
static void of_several_headers_the_last_counts(void)
{
	begin();
	add_records("path=first\n");
	add_records("mtime=77\n");
	add('0', "last", "", "fine");
	add('L', "long", "", "long");
	add_records("path=other\n");
	add('0', "short", "", "fine");
	add('V', "label", "", "");
	finish();
	CHECK(run(tar_in, "jail", true) == 0);
	CHECK(file_is("jail/last", "fine") && access("jail/first", F_OK) < 0);
	CHECK(file_is("jail/long", "fine") && access("jail/other", F_OK) < 0);
}

static void attributes_of_users_travel(void)
{
	char value[8];

	CHECK(mkdir("with", 0755) == 0 && mkdir("with/dir", 0755) == 0 && mkdir("without", 0755) == 0);
	write_file("with/file", "contents", 0600);
	if (setxattr("with/file", "user.a", "b\0\xff", 3, 0) < 0)
		return; /* a file system without them */
	CHECK(setxattr("with/dir", "user.empty", "", 0, 0) == 0);
	CHECK(run(tar_out, "with", false) == 0 && run(tar_in, "without", true) == 0);
	CHECK(getxattr("without/with/file", "user.a", value, sizeof value) == 3);
	CHECK(memcmp(value, "b\0\xff", 3) == 0);
	CHECK(getxattr("without/with/dir", "user.empty", value, sizeof value) == 0);
	/* Those of another system are not for this one. */
	begin();
	add_records("SCHILY.xattr.system.other=x\nSCHILY.xattr.user.ok=y\n");
	add('0', "file", "", "data");
	add('0', "next", "", "data");
	finish();
	CHECK(run(tar_in, "without", true) == 0);
	CHECK(getxattr("without/file", "user.ok", value, sizeof value) == 1);
	CHECK(getxattr("without/next", "user.ok", value, sizeof value) < 0);
}

static void files_of_the_kernel_have_their_contents(void)
{
	char real[64], line[64] = { 0 };
	int fd;

	CHECK(run(tar_out, "/proc/self/comm", false) == 0 && mkdir("kernel", 0755) == 0);
	CHECK(run(tar_in, "kernel", true) == 0);
	fd = open("kernel/comm", O_RDONLY);
	CHECK(fd >= 0 && read(fd, line, sizeof line - 1) > 0);
	close(fd);
	fd = open("/proc/self/comm", O_RDONLY);
	CHECK(fd >= 0 && read(fd, real, sizeof real) > 0 && line[0] == real[0]);
	close(fd);
}

static void random_archives_do_no_harm(void)
{
	uint64_t state = 99;

	for (int round = 0; round < 60; round++) {
		begin();
		add('5', "d", "", "");
		add('x', "pax", "", "12 path=d/e\n12 mtime=77\n");
		add('0', "d/f", "", "contents of the file");
		add('L', "long", "", "d/quite/a/long/name");
		add('2', "d/l", "../f", "");
		add('1', "d/h", "d/f", "");
		add_records("GNU.sparse.size=9\nGNU.sparse.map=1,4\n");
		add('0', "d/s", "", "data");
		add('S', "d/o", "", "data");
		finish();
		for (int i = 0; i < 6; i++) {
			size_t header = draw(&state) % (archive_length / TAR_BLOCK) * TAR_BLOCK;
			struct tar_header *damaged = (struct tar_header *)(archive + header);

			archive[header + draw(&state) % TAR_BLOCK] = (uint8_t)draw(&state);
			/* Device nodes and the like are not for the machine of the test. */
			if (damaged->type == '3' || damaged->type == '4')
				damaged->type = '0';
			if (draw(&state) % 4)
				tar_seal(damaged);
		}
		run(tar_in, "jail", true);
	}
	CHECK(file_is("outside/target", "good"));
}

void test_tar_trees(void)
{
	enter_scratch();
	a_tree_comes_back_as_it_was();
	hostile_entries_stay_inside();
	damaged_archives_are_refused();
	paths_that_are_missing_are_told_from_others();
	sparse_files_get_their_holes();
	maps_that_are_malformed_make_no_file();
	of_several_headers_the_last_counts();
	attributes_of_users_travel();
	files_of_the_kernel_have_their_contents();
	random_archives_do_no_harm();
	leave_scratch();
}
