#include <string.h>

#include "check.h"
#include "fields.h"

static void what_is_put_can_be_read(void)
{
	uint8_t bytes[256];
	struct field_writer writer = { .buffer = bytes, .capacity = sizeof bytes };
	struct fields fields;
	struct span span;
	char text[8];

	put_int(&writer, TAG_EXEC, -5);
	put_text(&writer, TAG_ARGV, "one");
	put_bytes(&writer, TAG_LABEL, "a\0b", 3);
	put_text(&writer, TAG_ARGV, "");
	CHECK(!writer.overflow);
	CHECK(fields_parse(&fields, bytes, writer.length));
	CHECK(fields_int(&fields, TAG_EXEC, 0) == -5);
	CHECK(fields_int(&fields, TAG_SIGNAL, 9) == 9);
	CHECK(fields_count(&fields, TAG_ARGV) == 2);
	CHECK(fields_text(&fields, TAG_ARGV, text, sizeof text) && strcmp(text, "one") == 0);
	CHECK(!fields_text(&fields, TAG_ARGV, text, 3) && !text[0]);
	CHECK(fields_span(&fields, TAG_LABEL, &span) && span.length == 3);
	CHECK(!fields_span(&fields, TAG_USER, &span));
}

static void what_does_not_fit_is_left_out(void)
{
	uint8_t bytes[16];
	struct field_writer writer = { .buffer = bytes, .capacity = sizeof bytes };

	put_int(&writer, TAG_EXEC, 1);
	CHECK(writer.length == 14 && !writer.overflow);
	put_text(&writer, TAG_ARGV, "x");
	CHECK(writer.length == 14 && writer.overflow);
}

static void malformed_lists_are_refused(void)
{
	static const struct {
		const char *bytes;
		size_t length;
		bool valid;
	} table[] = {
		{ "", 0, true },
		{ "\x30", 1, false },                                        /* half a tag */
		{ "\x30\0\x01\0\0", 5, false },                              /* half a length */
		{ "\x30\0\x01\0\0\0", 6, false },                            /* no value */
		{ "\x30\0\0\0\0\0", 6, true },                               /* an empty string */
		{ "\x30\0\xff\xff\xff\xff" "x", 7, false },                  /* a length beyond all */
		{ "\x30\0\x01\0\0\0" "x" "\x30", 8, false },                 /* something behind it */
		{ "\x30\0\x02\0\0\0" "x", 8, false },                        /* a NUL in a string */
		{ "\x42\0\x02\0\0\0" "x", 8, true },                         /* a NUL in bytes */
		{ "\x3b\0\x07\0\0\0" "\0\0\0\0\0\0\0", 13, false },          /* a short integer */
		{ "\x3b\0\x08\0\0\0" "\0\0\0\0\0\0\0\0", 14, true },
		{ "\x3b\0\x09\0\0\0" "\0\0\0\0\0\0\0\0\0", 15, false },      /* a long integer */
		{ "\xff\xff\x02\0\0\0" "x", 8, true },                       /* an unknown tag */
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		/* In memory of its very size, so that reading beyond it is seen. */
		uint8_t *bytes = malloc(table[i].length + !table[i].length);
		struct fields fields;

		CHECK(bytes);
		memcpy(bytes, table[i].bytes, table[i].length);
		CHECK(fields_parse(&fields, bytes, table[i].length) == table[i].valid);
		free(bytes);
	}
}

void test_fields(void)
{
	what_is_put_can_be_read();
	what_does_not_fit_is_left_out();
	malformed_lists_are_refused();
}
