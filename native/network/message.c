#include "message.h"

#include <string.h>

enum { LABEL_MOST = 63, POINTER = 0xc0, EDNS_DNSSEC_OK = 0x8000, FIRST_NAME = POINTER << 8 | MESSAGE_HEADER };

static uint8_t read_8(struct message_reader *reader)
{
	if (reader->at >= reader->length)
		reader->wrong = true;
	return reader->wrong ? 0 : reader->bytes[reader->at++];
}

uint16_t message_read_16(struct message_reader *reader)
{
	unsigned high = read_8(reader);

	return (uint16_t)(high << 8 | read_8(reader));
}

uint32_t message_read_32(struct message_reader *reader)
{
	uint32_t high = message_read_16(reader);

	return high << 16 | message_read_16(reader);
}

void message_read_header(struct message_reader *reader, struct message_header *header)
{
	header->id = message_read_16(reader);
	header->flags = message_read_16(reader);
	header->questions = message_read_16(reader);
	header->answers = message_read_16(reader);
	header->authorities = message_read_16(reader);
	header->additions = message_read_16(reader);
}

/* Adds a label whose length was read. */
static void read_label(struct message_reader *reader, struct message_name *name, uint8_t size)
{
	if (size > reader->length - reader->at || name->length + 1U + size >= MESSAGE_NAME) {
		reader->wrong = true;
		return;
	}
	name->bytes[name->length++] = size;
	memcpy(name->bytes + name->length, reader->bytes + reader->at, size);
	name->length = (uint8_t)(name->length + size);
	reader->at += size;
}

void message_read_name(struct message_reader *reader, struct message_name *name, bool may_point)
{
	size_t after = 0; /* the first pointer */
	size_t limit = reader->at; /* a pointer leads to before this */
	uint8_t size;

	name->length = 0;
	while ((size = read_8(reader)) != 0) {
		if (size <= LABEL_MOST) {
			read_label(reader, name, size);
		} else if (may_point && (size & POINTER) == POINTER) {
			size_t target = (size_t)(size & ~POINTER) << 8 | read_8(reader);
			if (target >= limit)
				reader->wrong = true;
			after = after ? after : reader->at;
			reader->at = limit = target;
		} else {
			reader->wrong = true;
		}
		if (reader->wrong)
			break;
	}
	name->bytes[name->length++] = 0;
	if (after)
		reader->at = after;
}

void message_read_record(struct message_reader *reader, struct message_record *record)
{
	message_read_name(reader, &record->owner, true);
	record->type = message_read_16(reader);
	record->class = message_read_16(reader);
	record->ttl_s = message_read_32(reader);
	record->data_length = message_read_16(reader);
	record->data_at = reader->at;
	if (!reader->wrong && record->data_length > reader->length - reader->at)
		reader->wrong = true;
	if (!reader->wrong)
		reader->at += record->data_length;
}

/* Lengths of labels are below 64, where no letter is. */
static uint8_t lower(uint8_t byte)
{
	return (uint8_t)(byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
}

bool message_names_same(const struct message_name *one, const struct message_name *other)
{
	if (one->length != other->length)
		return false;
	for (size_t i = 0; i < one->length; i++)
		if (lower(one->bytes[i]) != lower(other->bytes[i]))
			return false;
	return true;
}

bool message_name_text(const struct message_name *name, char text[MESSAGE_NAME_TEXT])
{
	size_t length = 0;

	for (size_t at = 0; name->bytes[at];) {
		size_t end = at + 1U + name->bytes[at];
		if (length > 0)
			text[length++] = '.';
		for (at++; at < end; at++) {
			uint8_t byte = lower(name->bytes[at]);
			if (byte <= ' ' || byte > '~' || byte == '.')
				return false;
			text[length++] = (char)byte;
		}
	}
	text[length] = 0;
	return true;
}

void message_name_of(const char *text, struct message_name *name)
{
	name->length = 0;
	while (*text) {
		size_t size = strcspn(text, ".");
		name->bytes[name->length++] = (uint8_t)size;
		memcpy(name->bytes + name->length, text, size);
		name->length = (uint8_t)(name->length + size);
		text += size + (text[size] == '.');
	}
	name->bytes[name->length++] = 0;
}

void message_write(struct message_writer *writer, const void *bytes, size_t length)
{
	if (writer->full || length > writer->room - writer->length) {
		writer->full = true;
		return;
	}
	memcpy(writer->bytes + writer->length, bytes, length);
	writer->length += length;
}

void message_write_16(struct message_writer *writer, uint16_t value)
{
	uint8_t bytes[] = {(uint8_t)(value >> 8), (uint8_t)value};

	message_write(writer, bytes, sizeof bytes);
}

void message_write_32(struct message_writer *writer, uint32_t value)
{
	message_write_16(writer, (uint16_t)(value >> 16));
	message_write_16(writer, (uint16_t)value);
}

void message_write_header(struct message_writer *writer, const struct message_header *header)
{
	message_write_16(writer, header->id);
	message_write_16(writer, header->flags);
	message_write_16(writer, header->questions);
	message_write_16(writer, header->answers);
	message_write_16(writer, header->authorities);
	message_write_16(writer, header->additions);
}

void message_write_question(struct message_writer *writer, const struct message_name *name, uint16_t type)
{
	message_write(writer, name->bytes, name->length);
	message_write_16(writer, type);
	message_write_16(writer, CLASS_IN);
}

void message_write_answer(struct message_writer *writer, uint16_t type, uint32_t ttl_s, const void *data, size_t length)
{
	message_write_16(writer, FIRST_NAME);
	message_write_16(writer, type);
	message_write_16(writer, CLASS_IN);
	message_write_32(writer, ttl_s);
	message_write_16(writer, (uint16_t)length);
	message_write(writer, data, length);
}

void message_write_edns(struct message_writer *writer, uint16_t room, uint8_t high_code, bool dnssec_ok)
{
	message_write(writer, "", 1);
	message_write_16(writer, TYPE_OPT);
	message_write_16(writer, room);
	message_write_32(writer, (uint32_t)high_code << 24 | (dnssec_ok ? EDNS_DNSSEC_OK : 0));
	message_write_16(writer, 0);
}
