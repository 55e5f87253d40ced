/* Numbers, times and records of tar archives, each by itself. */

#include <string.h>

#include "check.h"
#include "tar.h"

static struct span text(const char *string)
{
	return (struct span){ string, strlen(string) };
}

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
		{ "644 \0  ", 8, true, 0644 },
		{ "644\0x  ", 8, true, 0644 },
		{ "\0\0 0644 ", 8, true, 0644 },
		{ "\0\0\0\0\0\0\0\0", 8, true, 0 },
		{ "        ", 8, true, 0 },
		{ "\0\0\0" "00000644\0", 12, true, 0644 },
		{ "77777777", 8, true, 077777777 },
		{ "777777777777", 12, true, 0777777777777 },
		{ "0000x44", 8, false, 0 },
		{ "0000844", 8, false, 0 },
		{ "12 34  ", 8, false, 0 },
		{ "-000644", 8, false, 0 },
		{ "+000644", 8, false, 0 },
		{ "\x80\0\0\0\0\0\0\0\0\0\1\2", 12, true, 258 },
		{ "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12, true, INT64_MAX },
		{ "\x80\0\0\0\x80\0\0\0\0\0\0\0", 12, false, 0 },
		{ "\x80\1\0\0\0\0\0\0\0\0\0\0", 12, false, 0 },
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, true, -1 },
		{ "\xff\xff\xff\xff\xff\xff\xff\xfe", 8, true, -2 },
		{ "\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", 12, true, INT64_MIN },
		{ "\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 12, false, 0 },
		{ "\xc0\0\0\0\0\0\0\0\0\0\0\0", 12, false, 0 },
		{ "\x80\0\0\1\0\0\0\0", 8, true, INT64_C(1) << 32 },
	};
	char field[8];

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		int64_t value;

		CHECK(tar_get_number(table[i].bytes, table[i].length, &value) == table[i].valid);
		CHECK(!table[i].valid || value == table[i].value);
	}
	CHECK(tar_put_number(field, sizeof field, 07777777) && strcmp(field, "7777777") == 0);
	CHECK(!tar_put_number(field, sizeof field, 010000000));
	CHECK(!tar_put_number(field, sizeof field, -1));
}

static void decimals_are_digits_and_nothing_else(void)
{
	static const char *const wrong[] = {
		"", "x", "5x", " 5", "5 ", "+5", "-5", "0x5", "5.0", "9223372036854775808",
		"99999999999999999999999999",
	};
	int64_t value;

	CHECK(tar_get_decimal(text("9223372036854775807"), &value) && value == INT64_MAX);
	CHECK(tar_get_decimal(text("00000000000000000000000000000005"), &value) && value == 5);
	CHECK(!tar_get_decimal((struct span){ "5\0", 2 }, &value));
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		CHECK(!tar_get_decimal(text(wrong[i]), &value));
}

static void times_are_exact(void)
{
	static const struct {
		const char *text;
		int64_t seconds;
		long nanoseconds;
	} table[] = {
		{ "0", 0, 0 },
		{ "7", 7, 0 },
		{ "7.", 7, 0 },
		{ ".5", 0, 500000000 },
		{ "-5", -5, 0 },
		{ "-1.5", -2, 500000000 },
		{ "-.25", -1, 750000000 },
		{ "1.123456789999", 1, 123456789 },
		{ "9223372036854775807", INT64_MAX, 0 },
		{ "-9223372036854775807.1", INT64_MIN, 900000000 },
		{ "1.0000000000000000000000000000000000000000001", 1, 0 },
	};
	static const char *const wrong[] = {
		"", ".", "-", "-.", "--1", "+1", "abc", "1.x", "1.5.", "1e3", "1,5", " 1", "1 ",
		"9223372036854775808",
	};
	struct timespec time;

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		CHECK(tar_get_time(text(table[i].text), &time));
		CHECK(time.tv_sec == table[i].seconds && time.tv_nsec == table[i].nanoseconds);
	}
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		CHECK(!tar_get_time(text(wrong[i]), &time));
}

static void records_count_their_own_length(void)
{
	char records[256];
	size_t used = 0;
	struct span rest, key, value;

	CHECK(tar_put_record(records, sizeof records, &used, "path", "a", 1));
	CHECK(used == 9 && memcmp(records, "9 path=a\n", 9) == 0);
	CHECK(tar_put_record(records, sizeof records, &used, "path", "a=\n", 3));
	CHECK(used == 21 && memcmp(records + 9, "12 path=a=\n\n", 12) == 0);
	CHECK(!tar_put_record(records, 31, &used, "path", "abcdefghijkl", 12) && used == 21);
	rest = (struct span){ records, used };
	CHECK(tar_get_record(&rest, &key, &value) && span_is(key, "path") && span_is(value, "a"));
	CHECK(tar_get_record(&rest, &key, &value) && span_is(value, "a=\n") && !rest.length);
}

static void records_that_are_malformed_are_refused(void)
{
	static const char *const table[] = {
		"x",        "9 path=a",  "8 path=a\n",  "99 path=a\n", "0 path=a\n",
		"7 pathz\n", "9path=a\n", "-9 path=a\n", " 9 path=a\n", "1 \n",
		"2 \n",     "5 =a\n",    "9\tpath=a\n", "9",           "9 ",
		"18446744073709551625 a=b\n", "0000000015 a=b\n",
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct span rest = text(table[i]), key, value;

		CHECK(!tar_get_record(&rest, &key, &value));
	}
}

static void checksums_of_signed_bytes_are_known(void)
{
	struct tar_header header = { .name = "\xff\xfe", .type = '0' };
	int64_t sum;

	tar_seal(&header);
	CHECK(tar_checksum_valid(&header));
	CHECK(tar_get_number(header.checksum, sizeof header.checksum, &sum));
	tar_put_number(header.checksum, sizeof header.checksum, sum - 512);
	CHECK(tar_checksum_valid(&header));
	tar_put_number(header.checksum, sizeof header.checksum, sum - 256);
	CHECK(!tar_checksum_valid(&header));
}

void test_tar_numbers(void)
{
	numbers_are_octal_or_base_256();
	decimals_are_digits_and_nothing_else();
	times_are_exact();
	records_count_their_own_length();
	records_that_are_malformed_are_refused();
	checksums_of_signed_bytes_are_known();
}
