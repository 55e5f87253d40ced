#include "fields.h"

#include <string.h>

#include "wire.h"

enum kind { KIND_UNKNOWN, KIND_INT, KIND_TEXT, KIND_BYTES };

static enum kind kind_of(uint16_t tag)
{
	switch ((enum tag)tag) {
	case TAG_NONCE:
	case TAG_BOOT:
	case TAG_ENTROPY:
	case TAG_LABEL:
	case TAG_FILE:
	case TAG_SECRET:
		return KIND_BYTES;
	case TAG_AGENT:
	case TAG_STATE:
	case TAG_KERNEL:
	case TAG_CODE:
	case TAG_MESSAGE:
	case TAG_HOSTNAME:
	case TAG_MACHINE_ID:
	case TAG_ADDRESS:
	case TAG_GATEWAY:
	case TAG_DNS:
	case TAG_MAC:
	case TAG_INIT:
	case TAG_PHASE:
	case TAG_BOOT_ID:
	case TAG_ARGV:
	case TAG_ENV:
	case TAG_CWD:
	case TAG_USER:
	case TAG_APPLET:
	case TAG_PORT:
	case TAG_INIT_NAME:
	case TAG_MODE:
	case TAG_TARGET:
	case TAG_TMPFS:
	case TAG_RLIMIT:
	case TAG_VOLUME:
		return KIND_TEXT;
	case TAG_VERSION_MIN:
	case TAG_MAKE_CWD:
	case TAG_VERSION_MAX:
	case TAG_VERSION:
	case TAG_UPTIME_MS:
	case TAG_REQUEST_MAX:
	case TAG_ERRNO:
	case TAG_CLOCK_NS:
	case TAG_GROW:
	case TAG_MTU:
	case TAG_DISK_BYTES:
	case TAG_RESET_TCP:
	case TAG_IPV6:
	case TAG_AWAIT_LINK:
	case TAG_RANDOMIZE:
	case TAG_TTY:
	case TAG_ROWS:
	case TAG_COLS:
	case TAG_STDIN:
	case TAG_TIMEOUT_MS:
	case TAG_PID:
	case TAG_EXEC:
	case TAG_SIGNAL:
	case TAG_EXIT_CODE:
	case TAG_EXIT_SIGNAL:
	case TAG_TIMED_OUT:
	case TAG_OFFSET:
	case TAG_RUNNING:
	case TAG_GRACE_MS:
	case TAG_BLOCKS:
	case TAG_EXECS:
	case TAG_ROOT_READ_ONLY:
	case TAG_SESSION:
	case TAG_PROCESS_1:
	case TAG_DIAL_PORT:
	case TAG_SHARE_FLAGS:
	case TAG_PROTECT_ROOT:
	case TAG_FILE_MODE:
		return KIND_INT;
	}
	return KIND_UNKNOWN;
}

static bool field_valid(const struct field *field)
{
	switch (kind_of(field->tag)) {
	case KIND_INT: return field->value.length == 8;
	case KIND_TEXT: return !memchr(field->value.data, 0, field->value.length);
	case KIND_BYTES:
	case KIND_UNKNOWN: break;
	}
	return true;
}

bool fields_parse(struct fields *fields, const uint8_t *payload, size_t length)
{
	const uint8_t *at = payload, *end = payload + length;

	while (at < end) {
		struct field field;
		size_t left = (size_t)(end - at);

		if (left < FIELD_HEADER || load32(at + 2) > left - FIELD_HEADER)
			return false;
		field.tag = load16(at);
		field.value.data = (const char *)at + FIELD_HEADER;
		field.value.length = load32(at + 2);
		if (!field_valid(&field))
			return false;
		at += FIELD_HEADER + field.value.length;
	}
	fields->at = payload;
	fields->end = end;
	return true;
}

bool fields_next(struct fields *fields, struct field *field)
{
	if (fields->at >= fields->end)
		return false;
	field->tag = load16(fields->at);
	field->value.data = (const char *)fields->at + FIELD_HEADER;
	field->value.length = load32(fields->at + 2);
	fields->at += FIELD_HEADER + field->value.length;
	return true;
}

bool fields_span(const struct fields *fields, enum tag tag, struct span *value)
{
	struct fields rest = *fields;
	struct field field;

	while (fields_next(&rest, &field)) {
		if (field.tag == tag) {
			*value = field.value;
			return true;
		}
	}
	return false;
}

size_t fields_count(const struct fields *fields, enum tag tag)
{
	struct fields rest = *fields;
	struct field field;
	size_t count = 0;

	while (fields_next(&rest, &field))
		count += field.tag == tag;
	return count;
}

int64_t fields_int(const struct fields *fields, enum tag tag, int64_t otherwise)
{
	struct span value;

	if (!fields_span(fields, tag, &value))
		return otherwise;
	return (int64_t)load64((const uint8_t *)value.data);
}

bool fields_text(const struct fields *fields, enum tag tag, char *text, size_t size)
{
	struct span value;

	text[0] = 0;
	return fields_span(fields, tag, &value) && span_copy(value, text, size);
}

bool span_is(struct span span, const char *text)
{
	return span.length == strlen(text) && memcmp(span.data, text, span.length) == 0;
}

bool span_copy(struct span span, char *text, size_t size)
{
	if (span.length >= size) {
		text[0] = 0;
		return false;
	}
	memcpy(text, span.data, span.length);
	text[span.length] = 0;
	return true;
}

void put_bytes(struct field_writer *writer, enum tag tag, const void *bytes, size_t length)
{
	uint8_t *at = writer->buffer + writer->length;
	size_t left = writer->capacity - writer->length;

	if (left < FIELD_HEADER || length > left - FIELD_HEADER) {
		writer->overflow = true;
		return;
	}
	store16(at, (uint16_t)tag);
	store32(at + 2, (uint32_t)length);
	if (length)
		memcpy(at + FIELD_HEADER, bytes, length);
	writer->length += FIELD_HEADER + length;
}

void put_text(struct field_writer *writer, enum tag tag, const char *text)
{
	put_bytes(writer, tag, text, strlen(text));
}

void put_int(struct field_writer *writer, enum tag tag, int64_t value)
{
	uint8_t bytes[8];

	store64(bytes, (uint64_t)value);
	put_bytes(writer, tag, bytes, sizeof bytes);
}
