#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "applet.h"
#include "check.h"
#include "tar.h"

enum { ARCHIVE_MAX = 1 << 20 };

static char base[] = "/tmp/banger-tar-XXXXXX";
static uint8_t archive[ARCHIVE_MAX];
static size_t archive_length;

static void numbers_are_octal_or_base_256(void)
{
	static const struct {
		const char *bytes;
		size_t length;
		bool valid;
		int64_t value;
	} table[] = {
		{ "0000644", 8, true, 0644 },
		{ "   644 ", 8, true, 0644 },
		{ "", 8, true, 0 },
		{ "\0\0\0" "00000644\0", 12, true, 0644 },
		{ "77777777", 8, true, 077777777 },
		{ "0000x44", 8, false, 0 },
		{ "-000644", 8, false, 0 },
		{ "\x80\0\0\0\0\0\0\0\0\0\1\2", 12, true, 258 },
		{ "\x80\1\0\0\0\0\0\0\0\0\0\0", 12, false, 0 },
		{ "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, false, 0 },
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, false, 0 },
	};
	char field[8];

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		char bytes[12] = { 0 };
		int64_t value;

		memcpy(bytes, table[i].bytes, table[i].length < 9 ? strlen(table[i].bytes) : 12);
		CHECK(tar_get_number(bytes, table[i].length, &value) == table[i].valid);
		CHECK(!table[i].valid || value == table[i].value);
	}
	CHECK(tar_put_number(field, sizeof field, 07777777) && strcmp(field, "7777777") == 0);
	CHECK(!tar_put_number(field, sizeof field, 010000000));
	CHECK(!tar_put_number(field, sizeof field, -1));
}

static void records_count_their_own_length(void)
{
	char text[256];
	size_t used = 0, key_length, value_length;
	const char *at = text, *key, *value;
	bool bad;

	CHECK(tar_put_record(text, sizeof text, &used, "path", "a", 1));
	CHECK(used == 9 && memcmp(text, "9 path=a\n", 9) == 0);
	CHECK(tar_put_record(text, sizeof text, &used, "path", "ab", 2));
	CHECK(used == 20 && memcmp(text + 9, "11 path=ab\n", 11) == 0);
	CHECK(!tar_put_record(text, 30, &used, "path", "abcdefghijkl", 12) && used == 20);
	CHECK(tar_get_record(&at, text + used, &key, &key_length, &value, &value_length, &bad));
	CHECK(key_length == 4 && value_length == 1 && *value == 'a');
	CHECK(tar_get_record(&at, text + used, &key, &key_length, &value, &value_length, &bad));
	CHECK(!tar_get_record(&at, text + used, &key, &key_length, &value, &value_length, &bad));
	CHECK(!bad);
}

static void records_that_are_malformed_are_refused(void)
{
	static const char *const table[] = { "x",          "9 path=a",      "8 path=a\n", "99 path=a\n",
					     "0 path=a\n", "7 pathz\n",     "9path=a\n",  "-9 path=a\n",
					     "1 \n",       "18446744073709551625 a=b\n" };

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		const char *at = table[i], *end = at + strlen(at), *key, *value;
		size_t key_length, value_length;
		bool bad;

		CHECK(!tar_get_record(&at, end, &key, &key_length, &value, &value_length, &bad));
		CHECK(bad);
	}
}

void test_tar_headers(void)
{
	numbers_are_octal_or_base_256();
	records_count_their_own_length();
	records_that_are_malformed_are_refused();
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
	(void)stat;
	(void)type;
	(void)walk;
	return remove(path);
}

/* Runs an applet in a child, with the archive as its input and as the place of its output. */
static int run(int (*applet)(int argc, char **argv), const char *argument, bool reads)
{
	char *argv[] = { (char *)argument, NULL };
	int ends[2], status;
	pid_t pid;

	CHECK(pipe(ends) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		int quiet = open("/dev/null", O_WRONLY);

		dup2(reads ? ends[0] : ends[1], reads ? 0 : 1);
		dup2(quiet, 2);
		close(ends[0]);
		close(ends[1]);
		_exit(applet(1, argv));
	}
	close(ends[reads ? 0 : 1]);
	if (reads) {
		/* A reader that gives up early is part of the test. */
		for (size_t at = 0; at < archive_length;) {
			ssize_t written = write(ends[1], archive + at, archive_length - at);

			if (written < 0)
				break;
			at += (size_t)written;
		}
	} else {
		ssize_t got;

		archive_length = 0;
		while ((got = read(ends[0], archive + archive_length, ARCHIVE_MAX - archive_length)) > 0)
			archive_length += (size_t)got;
	}
	close(ends[reads ? 1 : 0]);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	CHECK(fchmod(fd, mode) == 0);
	close(fd);
}

static bool file_is(const char *path, const char *text)
{
	char found[256] = { 0 };
	int fd = open(path, O_RDONLY | O_NOFOLLOW);
	ssize_t length = fd < 0 ? -1 : read(fd, found, sizeof found - 1);

	if (fd >= 0)
		close(fd);
	return length >= 0 && strcmp(found, text) == 0;
}

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

static void add(char type, const char *name, const char *link, const char *contents)
{
	struct tar_header header = { .type = type };
	size_t length = strlen(contents);

	memcpy(header.name, name, strlen(name));
	memcpy(header.link, link, strlen(link));
	tar_put_number(header.mode, sizeof header.mode, type == '5' ? 0755 : 0644);
	tar_put_number(header.uid, sizeof header.uid, (int64_t)getuid());
	tar_put_number(header.gid, sizeof header.gid, (int64_t)getgid());
	tar_put_number(header.size, sizeof header.size, (int64_t)length);
	tar_put_number(header.mtime, sizeof header.mtime, 1);
	tar_seal(&header);
	memcpy(archive + archive_length, &header, sizeof header);
	memset(archive + archive_length + TAR_BLOCK, 0, TAR_BLOCK);
	memcpy(archive + archive_length + TAR_BLOCK, contents, length);
	archive_length += length ? 2 * TAR_BLOCK : TAR_BLOCK;
}

static void begin(void)
{
	archive_length = 0;
}

static void finish(void)
{
	memset(archive + archive_length, 0, 2 * TAR_BLOCK);
	archive_length += 2 * TAR_BLOCK;
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
	archive_length = TAR_BLOCK + 100; /* cut off */
	CHECK(run(tar_in, "jail", true) == 1);
	archive_length = 100;
	CHECK(run(tar_in, "jail", true) == 1);
	begin();
	add('0', "file", "", "whole");
	archive[3] ^= 1; /* checksum */
	CHECK(run(tar_in, "jail", true) == 1);
	begin();
	add('x', "pax", "", "99 path=far\n");
	add('0', "file", "", "whole");
	finish();
	CHECK(run(tar_in, "jail", true) == 1);
	begin();
	add('x', "pax", "", "11 size=-5\n");
	add('0', "file", "", "whole");
	finish();
	CHECK(run(tar_in, "jail", true) == 1);
	begin();
	add('x', "pax", "", "20 path=../outside/e\n");
	add('0', "file", "", "whole");
	finish();
	CHECK(run(tar_in, "jail", true) == 1 && access("outside/e", F_OK) < 0);
	CHECK(run(tar_out, "no/such/path", false) == 1);
}

/* An extended header of lines "key=value". */
static void add_records(const char *lines)
{
	char records[512];
	size_t used = 0;

	while (*lines) {
		size_t length = strcspn(lines, "\n"), key = strcspn(lines, "=");
		char name[64] = { 0 };

		memcpy(name, lines, key);
		CHECK(tar_put_record(records, sizeof records - 1, &used, name, lines + key + 1,
				     length - key - 1));
		lines += length + 1;
	}
	records[used] = 0;
	add('x', "pax", "", records);
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
		"GNU.sparse.size=2000\nGNU.sparse.map=-100,4\n",
		"GNU.sparse.major=2\nGNU.sparse.size=2000\n",
		"GNU.sparse.other=1\nGNU.sparse.size=2000\n",
		"GNU.sparse.major=1\nGNU.sparse.realsize=2000\n", /* "data" is no map */
	};

	for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
		begin();
		add_records(tables[i]);
		add('0', "holes", "", "data");
		add('0', "after", "", "fine");
		finish();
		CHECK(run(tar_in, "jail", true) == 1);
		CHECK(access("jail/holes", F_OK) < 0);
		unlink("jail/after");
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
	char argument[] = "/proc/self/comm", real[64], line[64] = { 0 };
	int fd;

	CHECK(run(tar_out, argument, false) == 0 && mkdir("kernel", 0755) == 0);
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
	char back[4096];

	CHECK(getcwd(back, sizeof back) && mkdtemp(base) && chdir(base) == 0);
	umask(022);
	a_tree_comes_back_as_it_was();
	hostile_entries_stay_inside();
	damaged_archives_are_refused();
	sparse_files_get_their_holes();
	maps_that_are_malformed_make_no_file();
	of_several_headers_the_last_counts();
	attributes_of_users_travel();
	files_of_the_kernel_have_their_contents();
	random_archives_do_no_harm();
	CHECK(chdir(back) == 0 && nftw(base, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
}
