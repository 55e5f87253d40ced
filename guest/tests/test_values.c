#include <arpa/inet.h>
#include <string.h>

#include "address.h"
#include "check.h"
#include "values.h"

static struct span span_of(const char *text)
{
	return (struct span){ text, strlen(text) };
}

/* The verdict over a list of just this field. */
static bool accepted(enum tag tag, const void *bytes, size_t length)
{
	uint8_t list[1024];
	struct field_writer writer = { .buffer = list, .capacity = sizeof list };
	struct fields fields;
	struct err err = { .code = ERR_NONE };

	put_bytes(&writer, tag, bytes, length);
	CHECK(fields_parse(&fields, list, writer.length));
	if (values_check(&fields, &err) == 0)
		return true;
	CHECK(err.code == ERR_BAD_REQUEST && err.message[0]);
	return false;
}

static bool text_accepted(enum tag tag, const char *text)
{
	return accepted(tag, text, strlen(text));
}

static bool int_accepted(enum tag tag, int64_t value)
{
	return accepted(tag, &value, sizeof value);
}

static void texts_are_checked(void)
{
	static const struct {
		enum tag tag;
		const char *text;
		bool valid;
	} table[] = {
		{ TAG_BOOT_ID, "6f1b2c3d-0123-4567-89ab-cdefABCDEF00", true },
		{ TAG_BOOT_ID, "", false },
		{ TAG_BOOT_ID, "6f1b2c3d-0123-4567-89ab-cdefABCDEF0", false },
		{ TAG_BOOT_ID, "6f1b2c3d-0123-4567-89ab-cdefABCDEF000", false },
		{ TAG_BOOT_ID, "6f1b2c3d-0123-4567-89ab-cdefABCDEF0g", false },
		{ TAG_BOOT_ID, "6f1b2c3d00123-4567-89ab-cdefABCDEF00", false },
		{ TAG_BOOT_ID, "6f1b2c3d-0123-4567-89ab-cdefABCDEF0\n", false },
		{ TAG_MACHINE_ID, "0123456789abcdef0123456789abcdef", true },
		{ TAG_MACHINE_ID, "0123456789abcdef0123456789abcde", false },
		{ TAG_MACHINE_ID, "0123456789abcdef0123456789abcdeg", false },
		{ TAG_HOSTNAME, "", true },
		{ TAG_HOSTNAME, "clone-1", true },
		{ TAG_HOSTNAME, "two\nlines", false },
		{ TAG_MAC, "52:54:00:12:34:56", true },
		{ TAG_MAC, "52:54:00:12:34", false },
		{ TAG_ADDRESS, "10.0.2.15/24", true },
		{ TAG_ADDRESS, "10.0.2.15/33", false },
		{ TAG_GATEWAY, "fe80::2", true },
		{ TAG_GATEWAY, "10.0.2.2/24", false },
		/* Not a matter of these verbs, or unknown. */
		{ TAG_LABEL, "anything", true },
		{ 9999, "anything", true },
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		CHECK(text_accepted(table[i].tag, table[i].text) == table[i].valid);
}

static void numbers_have_ranges(void)
{
	static const struct {
		enum tag tag;
		int64_t most;
	} table[] = {
		{ TAG_CLOCK_NS, INT64_MAX / 2 }, { TAG_DISK_BYTES, INT64_C(1) << 60 },
		{ TAG_MTU, 65535 },		 { TAG_GROW, 1 },
		{ TAG_RESET_TCP, 1 },		 { TAG_IPV6, 1 },
		{ TAG_AWAIT_LINK, 1 },
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		CHECK(int_accepted(table[i].tag, 0));
		CHECK(int_accepted(table[i].tag, table[i].most));
		CHECK(!int_accepted(table[i].tag, table[i].most + 1));
		CHECK(!int_accepted(table[i].tag, -1));
		CHECK(!int_accepted(table[i].tag, INT64_MAX));
		CHECK(!int_accepted(table[i].tag, INT64_MIN));
	}
}

static void entropy_and_names_have_lengths(void)
{
	static const char room[600];
	char name[HOSTNAME_SIZE + 1];

	CHECK(!accepted(TAG_ENTROPY, room, ENTROPY_MIN - 1));
	CHECK(accepted(TAG_ENTROPY, room, ENTROPY_MIN));
	CHECK(accepted(TAG_ENTROPY, room, ENTROPY_MAX));
	CHECK(!accepted(TAG_ENTROPY, room, ENTROPY_MAX + 1));
	memset(name, 'x', sizeof name);
	CHECK(accepted(TAG_HOSTNAME, name, HOSTNAME_SIZE - 1));
	CHECK(!accepted(TAG_HOSTNAME, name, HOSTNAME_SIZE));
}

static void one_bad_value_among_good_ones_is_found(void)
{
	uint8_t list[256];
	struct field_writer writer = { .buffer = list, .capacity = sizeof list };
	struct fields fields;
	struct err err;

	put_int(&writer, TAG_MTU, 1500);
	put_text(&writer, TAG_ADDRESS, "10.0.2.15/24");
	CHECK(fields_parse(&fields, list, writer.length));
	CHECK(values_check(&fields, &err) == 0);
	put_text(&writer, TAG_ADDRESS, "10.0.2/24");
	CHECK(fields_parse(&fields, list, writer.length));
	CHECK(values_check(&fields, &err) < 0);
}

static void addresses_are_parsed(void)
{
	static const struct {
		const char *text;
		bool with_prefix, valid;
		uint8_t family, prefix;
	} table[] = {
		{ "10.0.2.15/24", true, true, AF_INET, 24 },
		{ "10.0.2.15", true, true, AF_INET, 32 },
		{ "10.0.2.15/0", true, true, AF_INET, 0 },
		{ "10.0.2.15", false, true, AF_INET, 32 },
		{ "fd00::7/64", true, true, AF_INET6, 64 },
		{ "fd00::7/128", true, true, AF_INET6, 128 },
		{ "fd00::7", false, true, AF_INET6, 128 },
		{ "", true, false, 0, 0 },
		{ "/24", true, false, 0, 0 },
		{ "10.0.2.15/", true, false, 0, 0 },
		{ "10.0.2.15/-1", true, false, 0, 0 },
		{ "10.0.2.15/ 8", true, false, 0, 0 },
		{ "10.0.2.15/8x", true, false, 0, 0 },
		{ "10.0.2.15/24", false, false, 0, 0 },
		{ "10.0.2.256/24", true, false, 0, 0 },
		{ "fd00::7/129", true, false, 0, 0 },
		{ "fd00:::7/64", true, false, 0, 0 },
		{ "0000000000000000000000000000000000000000000000000000000000000000000", true, false, 0, 0 },
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct address address;

		CHECK(address_parse(span_of(table[i].text), table[i].with_prefix, &address) ==
		      table[i].valid);
		if (table[i].valid)
			CHECK(address.family == table[i].family && address.prefix == table[i].prefix);
	}
}

static void addresses_are_compared_as_a_whole(void)
{
	struct address one, other;

	CHECK(address_parse(span_of("10.0.2.15/24"), true, &one));
	CHECK(address_parse(span_of("10.0.2.15/24"), true, &other) && address_equal(&one, &other));
	CHECK(address_parse(span_of("10.0.2.15/25"), true, &other) && !address_equal(&one, &other));
	CHECK(address_parse(span_of("10.0.2.16/24"), true, &other) && !address_equal(&one, &other));
	CHECK(address_parse(span_of("a00:20f::/24"), true, &other) && !address_equal(&one, &other));
}

static void mac_addresses_are_parsed(void)
{
	static const char *const bad[] = { "",
					   "52:54:00:12:34",
					   "52:54:00:12:34:56:78",
					   "52-54-00-12-34-56",
					   "5254:00:12:34:56:",
					   "52:54:00:12:34:5g",
					   "52:54:00:12:34: 6",
					   "+2:54:00:12:34:56" };
	static const uint8_t expected[MAC_BYTES] = { 0x52, 0x54, 0x00, 0xaB, 0xcd, 0xff };
	uint8_t mac[MAC_BYTES];

	CHECK(mac_parse(span_of("52:54:00:aB:cd:FF"), mac) && memcmp(mac, expected, MAC_BYTES) == 0);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK(!mac_parse(span_of(bad[i]), mac));
}

void test_values(void)
{
	texts_are_checked();
	numbers_have_ranges();
	entropy_and_names_have_lengths();
	one_bad_value_among_good_ones_is_found();
	addresses_are_parsed();
	addresses_are_compared_as_a_whole();
	mac_addresses_are_parsed();
}
