/* Messages of the DNS, byte by byte: read with limits, written with limits (RFC 1035, RFC 6891). */
#ifndef BANGER_MESSAGE_H
#define BANGER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MESSAGE_HEADER = 12,
	MESSAGE_NAME = 255, /* bytes of a name in a message, with all lengths */
	MESSAGE_NAME_TEXT = 256, /* of its text, with the zero byte */
};

enum message_flag {
	FLAG_ANSWER = 0x8000,
	FLAG_OPCODE = 0x7800,
	FLAG_TRUNCATED = 0x0200,
	FLAG_RECURSION_WANTED = 0x0100,
	FLAG_RECURSION = 0x0080,
	FLAG_AUTHENTIC = 0x0020,
	FLAG_CHECKING_OFF = 0x0010,
	FLAG_CODE = 0x000f,
};

enum message_type { TYPE_A = 1, TYPE_CNAME = 5, TYPE_PTR = 12, TYPE_AAAA = 28, TYPE_OPT = 41 };

enum { CLASS_IN = 1 };

/* A name as labels with their lengths, never compressed. */
struct message_name {
	uint8_t bytes[MESSAGE_NAME];
	uint8_t length;
};

struct message_header {
	uint16_t id, flags, questions, answers, authorities, additions;
};

struct message_record {
	struct message_name owner;
	uint16_t type, class;
	uint32_t ttl_s;
	size_t data_at; /* place of the data in the message */
	uint16_t data_length;
};

/* Reads from the beginning of a message; `wrong` once it is malformed, then all that is read is 0. */
struct message_reader {
	const uint8_t *bytes;
	size_t length, at;
	bool wrong;
};

uint16_t message_read_16(struct message_reader *reader);
uint32_t message_read_32(struct message_reader *reader);
void message_read_header(struct message_reader *reader, struct message_header *header);

/* A name; a compressed one only if it `may_point`. Pointers lead backwards, so none leads round. */
void message_read_name(struct message_reader *reader, struct message_name *name, bool may_point);
void message_read_record(struct message_reader *reader, struct message_record *record);

/* Same name in any case. */
bool message_names_same(const struct message_name *one, const struct message_name *other);

/* The text in lower case, without final dot. False: a label has something else than printable characters, or a dot. */
bool message_name_text(const struct message_name *name, char text[MESSAGE_NAME_TEXT]);

/* The name of a text that names.h or policy.h allow. */
void message_name_of(const char *text, struct message_name *name);

/* Writes; `full` once something found no room, then nothing more is written. */
struct message_writer {
	uint8_t *bytes;
	size_t room, length;
	bool full;
};

void message_write(struct message_writer *writer, const void *bytes, size_t length);
void message_write_16(struct message_writer *writer, uint16_t value);
void message_write_32(struct message_writer *writer, uint32_t value);
void message_write_header(struct message_writer *writer, const struct message_header *header);
void message_write_question(struct message_writer *writer, const struct message_name *name, uint16_t type);

/* A record of the name of the first question. */
void message_write_answer(struct message_writer *writer, uint16_t type, uint32_t ttl_s, const void *data, size_t length);

/* The record that says EDNS is understood; `high_code`: upper bits of the answer's code. */
void message_write_edns(struct message_writer *writer, uint16_t room, uint8_t high_code, bool dnssec_ok);

#endif
