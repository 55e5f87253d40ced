/* Archives, and what becomes of each: it is read as it is meant, or it is told that it is broken. */

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applet.h"
#include "archives.h"
#include "check.h"

static int verdict(void)
{
	return run(tar_in, "out", true);
}

static void clean(void)
{
	unlink("out/file");
	rmdir("out/file");
	unlink("out/name");
}

/* Each comes before a file of four bytes. */
static void records_are_read_whole_or_not_at_all(void)
{
	static const struct {
		const char *records;
		int code;
	} table[] = {
		{ "size=4\n", 0 },
		{ "size=0004\n", 0 },
		{ "size=\n", 0 },
		{ "size=5x\n", TAR_BROKEN },
		{ "size=-5\n", TAR_BROKEN },
		{ "size=+4\n", TAR_BROKEN },
		{ "size= 4\n", TAR_BROKEN },
		{ "size=4.0\n", TAR_BROKEN },
		{ "size=0x4\n", TAR_BROKEN },
		{ "size=9223372036854775807\n", TAR_BROKEN },
		{ "size=9223372036854775808\n", TAR_BROKEN },
		{ "size=40000000000000000000000000000000\n", TAR_BROKEN },
		{ "uid=abc\n", TAR_BROKEN },
		{ "uid=-\n", TAR_BROKEN },
		{ "uid=--2\n", TAR_BROKEN },
		{ "uid=4294967296\n", TAR_BROKEN },
		{ "gid=4294967296\n", TAR_BROKEN },
		{ "gid=-2147483649\n", TAR_BROKEN },
		{ "gid=1.5\n", TAR_BROKEN },
		{ "mtime=abc\n", TAR_BROKEN },
		{ "mtime=1.5x\n", TAR_BROKEN },
		{ "mtime=99999999999999999999\n", TAR_BROKEN },
		{ "SCHILY.devmajor=x\n", TAR_BROKEN },
		{ "SCHILY.xattr.=x\n", TAR_BROKEN },
		{ "atime=abc\nctime=x\nuname=\ncomment=a=b\nsize=4\n", 0 },
		{ "GNU.sparse.unheard=1\n", TAR_BROKEN },
		/* They are of files, and say nothing of this one. */
		{ "SCHILY.devmajor=99999999\nGNU.sparse.major=\nGNU.sparse.name=other\n", 0 },
		{ "path=name\npath=\n", 0 },
		{ "path=../file\n", 1 },
		{ "path=/file\n", 1 },
		{ "path=.\n", 1 },
		{ "path=./\n", TAR_BROKEN }, /* a directory with data */
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		begin();
		add_records(table[i].records);
		add('0', "file", "", "data");
		finish();
		CHECK(verdict() == table[i].code);
		CHECK(file_is("out/file", "data") == (table[i].code == 0));
		clean();
	}
}

static void what_is_taken_back_was_not_said(void)
{
	struct stat stat_;

	begin();
	add_records("mtime=77\nmtime=\nuid=7\nuid=\npath=name\npath=\nsize=9\nsize=\n");
	add('0', "file", "", "data");
	finish();
	CHECK(verdict() == 0 && file_is("out/file", "data"));
	CHECK(stat("out/file", &stat_) == 0 && stat_.st_mtime == 1 && stat_.st_uid == getuid());
	clean();
}

static void a_name_with_a_nul_is_none(void)
{
	static const char *const keys[] = { "path", "linkpath", "GNU.sparse.name", "SCHILY.xattr.user.\0a" };

	for (size_t i = 0; i < 3; i++) {
		char records[64];
		size_t used = 0;
		struct tar_header *header;

		CHECK(tar_put_record(records, sizeof records, &used, keys[i], "na\0me", 5));
		begin();
		header = add('x', "pax", "", "in the place of records");
		memset(archive + TAR_BLOCK, 0, TAR_BLOCK);
		memcpy(archive + TAR_BLOCK, records, used);
		tar_put_number(header->size, sizeof header->size, (int64_t)used);
		tar_seal(header);
		add('0', "file", "", "data");
		finish();
		CHECK(verdict() == TAR_BROKEN);
		CHECK(access("out/na", F_OK) < 0 && access("out/file", F_OK) < 0);
	}
}

static void times_have_signs_and_fractions(void)
{
	static const struct {
		const char *records;
		int64_t seconds;
		long nanoseconds;
	} table[] = {
		{ "mtime=1.25\n", 1, 250000000 },
		{ "mtime=-1\n", -1, 0 }, /* not "none" */
		{ "mtime=-1.25\n", -2, 750000000 },
		{ "mtime=-100000\n", -100000, 0 },
		{ "comment=x\n", -300, 0 }, /* as the header has it */
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct tar_header *header;
		struct stat stat_;

		begin();
		add_records(table[i].records);
		header = add('0', "file", "", "data");
		memset(header->mtime, 0xff, sizeof header->mtime);
		header->mtime[10] = (char)0xfe;
		header->mtime[11] = (char)0xd4;
		tar_seal(header);
		finish();
		CHECK(verdict() == 0 && stat("out/file", &stat_) == 0);
		CHECK(stat_.st_mtim.tv_sec == table[i].seconds);
		CHECK(stat_.st_mtim.tv_nsec == table[i].nanoseconds);
		clean();
	}
}

/* Bytes of a header, in the place of those of a good one. */
static void headers_are_read_whole_or_not_at_all(void)
{
#define FIELD(name) offsetof(struct tar_header, name), sizeof(((struct tar_header *)0)->name)
	static const struct {
		size_t at, size;
		char bytes[13];
		char type;
		int code;
	} table[] = {
		{ FIELD(size), "00000000004", '0', 0 },
		{ FIELD(size), "          4 ", '0', 0 },
		{ FIELD(size), "\0\0\0 00000004", '0', 0 },
		{ FIELD(size), "\x80\0\0\0\0\0\0\0\0\0\0\4", '0', 0 },
		{ FIELD(size), "0000000000x", '0', TAR_BROKEN },
		{ FIELD(size), "00000 00004", '0', TAR_BROKEN },
		{ FIELD(size), "-0000000004", '0', TAR_BROKEN },
		{ FIELD(size), "00000000008", '0', TAR_BROKEN },
		{ FIELD(size), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfc", '0', TAR_BROKEN },
		{ FIELD(size), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfc", '5', TAR_BROKEN },
		{ FIELD(size), "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", '0', TAR_BROKEN },
		{ FIELD(size), "\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", '0', TAR_BROKEN },
		{ FIELD(mode), "x", '0', TAR_BROKEN },
		{ FIELD(mode), "\xff\xff\xff\xff\xff\xff\xff\xff", '0', TAR_BROKEN },
		{ FIELD(mode), "0100644", '0', 0 },
		{ FIELD(uid), "\x80\0\0\1\0\0\0\0", '0', TAR_BROKEN },
		{ FIELD(gid), "\xff\xff\xff\xff\x7f\xff\xff\xff", '0', TAR_BROKEN },
		{ FIELD(uid), "00o0", '0', TAR_BROKEN },
		{ FIELD(mtime), "noon", '0', TAR_BROKEN },
		{ FIELD(mtime), "\x80\0\0\1\0\0\0\0\0\0\0\0", '0', TAR_BROKEN },
		{ FIELD(major), "0010000", '3', TAR_BROKEN }, /* 4096, which mknod(2) takes for 0 */
		{ FIELD(major), "noon", '3', TAR_BROKEN },
		{ FIELD(minor), "4000000", '4', TAR_BROKEN },
		{ FIELD(minor), "\xff\xff\xff\xff\xff\xff\xff\xff", '4', TAR_BROKEN },
		{ FIELD(major), "noon", '0', 0 }, /* of no file */
		{ FIELD(name), "file/", '0', TAR_BROKEN },
		{ FIELD(name), "file/", '7', TAR_BROKEN },
		{ FIELD(name), "file", '7', 0 },
		{ FIELD(name), "file", 0, 0 },
		{ FIELD(name), "file", 'Q', 1 },
		{ FIELD(name), "file", 'M', 1 },
		{ FIELD(name), "..", '0', 1 },
		{ FIELD(name), "", '0', 1 },
		{ FIELD(link), "", '2', 1 },
		{ FIELD(link), "", '1', 1 },
	};
#undef FIELD

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		bool data = table[i].type == '0' || table[i].type == 0 || table[i].type >= '7';
		struct tar_header *header;

		begin();
		header = add(table[i].type, "file", "", data ? "data" : "");
		memset((char *)header + table[i].at, 0, table[i].size);
		memcpy((char *)header + table[i].at, table[i].bytes, table[i].size < 12 ? table[i].size : 12);
		tar_seal(header);
		finish();
		CHECK(verdict() == table[i].code);
		CHECK(file_is("out/file", "data") == (table[i].code == 0));
		clean();
	}
}

static void a_name_that_ends_with_a_slash_is_a_directory(void)
{
	struct tar_header *header;
	struct stat stat_;

	begin();
	add('0', "file/", "", "");
	finish();
	CHECK(verdict() == 0 && stat("out/file", &stat_) == 0 && S_ISDIR(stat_.st_mode));
	clean();
	/* From before POSIX, with a size that is of no data. */
	begin();
	header = add(0, "file/", "", "");
	tar_put_number(header->size, sizeof header->size, 4096);
	tar_seal(header);
	add('D', "dumped/", "", "Yname");
	add('0', "name", "", "data");
	finish();
	CHECK(verdict() == 0 && stat("out/file", &stat_) == 0 && S_ISDIR(stat_.st_mode));
	CHECK(file_is("out/name", "data") && rmdir("out/dumped") == 0);
	clean();
	/* In an extended header, too. */
	begin();
	add_records("path=file/\n");
	add('0', "other", "", "");
	finish();
	CHECK(verdict() == 0 && stat("out/file", &stat_) == 0 && S_ISDIR(stat_.st_mode));
	clean();
}

/* Wherever it is cut, it is told, and what came before is there. */
static void an_archive_that_is_cut_is_no_whole_one(void)
{
	size_t whole;

	begin();
	add_records("path=name\n");
	add('0', "other", "", "data");
	add('0', "file", "", "data");
	finish();
	whole = archive_length;
	for (archive_length = 0; archive_length < whole; archive_length += 256) {
		CHECK(verdict() == TAR_BROKEN);
		CHECK(file_is("out/name", "data") == (archive_length >= 4 * TAR_BLOCK));
		CHECK(file_is("out/file", "data") == (archive_length >= 6 * TAR_BLOCK));
		CHECK(access("out/file", F_OK) < 0 || archive_length >= 6 * TAR_BLOCK);
		clean();
	}
	archive_length = whole;
	CHECK(verdict() == 0 && file_is("out/file", "data"));
	archive_length += 9 * TAR_BLOCK;
	memset(archive + whole, 'x', 9 * TAR_BLOCK); /* nobody reads what follows the end */
	CHECK(verdict() == 0);
	clean();
}

static void an_end_is_two_blocks_and_nothing_is_left_over(void)
{
	begin();
	add('0', "file", "", "data");
	finish();
	archive_length -= TAR_BLOCK;
	add('0', "name", "", "data");
	finish();
	CHECK(verdict() == TAR_BROKEN && file_is("out/file", "data") && access("out/name", F_OK) < 0);
	begin();
	add_records("path=name\n");
	finish();
	CHECK(verdict() == TAR_BROKEN);
	begin();
	add('L', "long", "", "name");
	finish();
	CHECK(verdict() == TAR_BROKEN);
	begin();
	finish();
	CHECK(verdict() == 0);
	clean();
}

static void long_names_and_records_stand_beside_each_other(void)
{
	char target[64] = { 0 };

	begin();
	add_records("path=other\nlinkpath=other\n");
	add('L', "long", "", "name");
	add('K', "long", "", "target");
	add('2', "short", "short", "");
	finish();
	CHECK(verdict() == 0 && readlink("out/name", target, sizeof target) == 6);
	CHECK(memcmp(target, "target", 6) == 0);
	clean();
	begin();
	add('K', "long", "", "target");
	add('L', "long", "", "name");
	add_records("path=other\nlinkpath=other\n");
	add('V', "label", "", "");
	add('g', "global", "", "15 path=global\n"); /* not of files */
	add('A', "rules", "", "rules");
	add('2', "short", "short", "");
	finish();
	CHECK(verdict() == 0 && readlink("out/name", target, sizeof target) == 6);
	clean();
	/* An empty one is none, and of two the last counts. */
	begin();
	add('L', "long", "", "other");
	add('L', "long", "", "");
	add('0', "file", "", "data");
	finish();
	CHECK(verdict() == 0 && file_is("out/file", "data") && access("out/other", F_OK) < 0);
	clean();
}

static void a_prefix_is_as_long_as_its_form_has_it(void)
{
	struct tar_header *header;
	struct stat stat_;

	begin();
	header = add('0', "file", "", "data");
	memcpy(header->prefix, "star", 4);
	memset(header->prefix + 131, '7', 24);
	memcpy(header->rest + 8, "tar", 4);
	tar_seal(header);
	header = add('0', "file", "", "data");
	memcpy(header->prefix, "00000000001 00000000001 ", 24);
	tar_seal(header);
	memcpy(header->magic, "ustar  ", 8);
	memset(header->checksum, ' ', sizeof header->checksum);
	{
		int64_t sum = 0;

		for (size_t i = 0; i < TAR_BLOCK; i++)
			sum += ((unsigned char *)header)[i];
		tar_put_number(header->checksum, 7, sum);
	}
	finish();
	CHECK(verdict() == 0 && file_is("out/star/file", "data") && file_is("out/file", "data"));
	CHECK(stat("out/00000000001 00000000001 ", &stat_) < 0);
	CHECK(unlink("out/star/file") == 0 && rmdir("out/star") == 0);
	clean();
}

/* Nothing is made on the way to a name that cannot be. */
static void names_have_bounds(void)
{
	static char name[4 * TAR_BLOCK], records[6 * TAR_BLOCK];
	size_t used = 0;
	struct tar_header *header;

	memset(name, 'n', sizeof name);
	memcpy(name, "up/", 3);
	name[3 + 256] = 0;
	for (int round = 0; round < 2; round++) {
		used = 0;
		CHECK(tar_put_record(records, sizeof records, &used, "path", name, strlen(name)));
		begin();
		header = add('x', "pax", "", "");
		tar_put_number(header->size, sizeof header->size, (int64_t)used);
		tar_seal(header);
		memcpy(archive + archive_length, records, used);
		memset(archive + archive_length + used, 0, TAR_BLOCK);
		archive_length += (used + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
		add('0', "file", "", "data");
		add('0', "name", "", "data");
		finish();
		CHECK(verdict() == 1 && file_is("out/name", "data"));
		CHECK(access("out/up", F_OK) < 0 && access("out/n", F_OK) < 0);
		clean();
		for (size_t i = 0; i < 2 * TAR_DEPTH_MAX + 1; i++)
			name[i] = i % 2 ? '/' : 'n';
		name[2 * TAR_DEPTH_MAX + 1] = 0;
	}
}

static void attributes_are_of_the_last_record(void)
{
	begin();
	add_records("SCHILY.xattr.user.a=1\nSCHILY.xattr.user.a=22\nSCHILY.xattr.user.b=\n");
	add('0', "file", "", "data");
	finish();
	CHECK(verdict() <= 1); /* there are file systems without them */
	clean();
}

void test_tar_verdicts(void)
{
	enter_scratch();
	CHECK(mkdir("out", 0755) == 0);
	records_are_read_whole_or_not_at_all();
	what_is_taken_back_was_not_said();
	a_name_with_a_nul_is_none();
	times_have_signs_and_fractions();
	headers_are_read_whole_or_not_at_all();
	a_name_that_ends_with_a_slash_is_a_directory();
	an_archive_that_is_cut_is_no_whole_one();
	an_end_is_two_blocks_and_nothing_is_left_over();
	long_names_and_records_stand_beside_each_other();
	a_prefix_is_as_long_as_its_form_has_it();
	names_have_bounds();
	attributes_are_of_the_last_record();
	leave_scratch();
}
