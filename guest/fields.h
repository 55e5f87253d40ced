/* Field lists: the payload of requests and answers. Pure, no I/O. */
#ifndef BANGER_FIELDS_H
#define BANGER_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tag {
	TAG_VERSION_MIN = 1,
	TAG_VERSION_MAX = 2,
	TAG_VERSION = 3,
	TAG_NONCE = 4,
	TAG_AGENT = 5,
	TAG_BOOT = 6,
	TAG_STATE = 7,
	TAG_KERNEL = 8,
	TAG_UPTIME_MS = 9,
	TAG_REQUEST_MAX = 10,
	TAG_CODE = 16,
	TAG_ERRNO = 17,
	TAG_MESSAGE = 18,
	TAG_HOSTNAME = 32,
	TAG_MACHINE_ID = 33,
	TAG_CLOCK_NS = 34,
	TAG_ENTROPY = 35,
	TAG_ADDRESS = 36,
	TAG_GATEWAY = 37,
	TAG_DNS = 38,
	TAG_MAC = 39,
	TAG_INIT = 40,
	TAG_GROW = 41,
	TAG_MTU = 42,
	TAG_PHASE = 43,
	TAG_BOOT_ID = 44,
	TAG_DISK_BYTES = 45,
	TAG_RESET_TCP = 46,
	TAG_IPV6 = 47,
	TAG_ARGV = 48,
	TAG_ENV = 49,
	TAG_CWD = 50,
	TAG_USER = 51,
	TAG_TTY = 52,
	TAG_ROWS = 53,
	TAG_COLS = 54,
	TAG_STDIN = 55,
	TAG_TIMEOUT_MS = 56,
	TAG_APPLET = 57,
	TAG_PID = 58,
	TAG_EXEC = 59,
	TAG_SIGNAL = 60,
	TAG_EXIT_CODE = 61,
	TAG_EXIT_SIGNAL = 62,
	TAG_TIMED_OUT = 63,
	TAG_OFFSET = 64,
	TAG_RUNNING = 65,
	TAG_LABEL = 66,
	TAG_MAKE_CWD = 67,
	TAG_FILE = 80,
	TAG_PORT = 81,
	TAG_INIT_NAME = 82,
	TAG_MODE = 83,
	TAG_GRACE_MS = 84,
	TAG_BLOCKS = 85,
	TAG_EXECS = 86,
	TAG_ROOT_READ_ONLY = 87,
	TAG_AWAIT_LINK = 88,
	TAG_SESSION = 96,
	TAG_PROCESS_1 = 97,
	TAG_DIAL_PORT = 98,
	TAG_TARGET = 99,
	TAG_SHARE_FLAGS = 100,
	TAG_TMPFS = 101,
	TAG_PROTECT_ROOT = 102,
	TAG_RLIMIT = 103,
	TAG_RANDOMIZE = 104,
};

enum { NONCE_BYTES = 16, FIELD_HEADER = 6, LABEL_MAX = 256 };

/* Bytes that belong to someone else; not NUL-terminated. */
struct span {
	const char *data;
	size_t length;
};

struct fields {
	const uint8_t *at, *end;
};

struct field {
	uint16_t tag;
	struct span value;
};

/* Checks the whole list: lengths, the size of integers, no NUL in strings. What follows may
 * then be used on it without further checks. */
bool fields_parse(struct fields *fields, const uint8_t *payload, size_t length);

/* Takes the next field off the list. */
bool fields_next(struct fields *fields, struct field *field);
bool fields_span(const struct fields *fields, enum tag tag, struct span *value);
size_t fields_count(const struct fields *fields, enum tag tag);
int64_t fields_int(const struct fields *fields, enum tag tag, int64_t otherwise);
/* Copies with a NUL. False, with an empty string, if the field is absent or too long. */
bool fields_text(const struct fields *fields, enum tag tag, char *text, size_t size);
bool span_is(struct span span, const char *text);
bool span_copy(struct span span, char *text, size_t size);

/* Appends fields; one that does not fit is left out and remembered in `overflow`. */
struct field_writer {
	uint8_t *buffer;
	size_t length, capacity;
	bool overflow;
};

void put_bytes(struct field_writer *writer, enum tag tag, const void *bytes, size_t length);
void put_text(struct field_writer *writer, enum tag tag, const char *text);
void put_int(struct field_writer *writer, enum tag tag, int64_t value);

#endif
