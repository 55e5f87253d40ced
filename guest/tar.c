#include "tar.h"

#include <stdio.h>
#include <string.h>

enum { STAR_PREFIX = 131, LENGTH_DIGITS = 8, NANOSECONDS = 1000000000 };

_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a header is one block");

bool tar_put_number(char *field, size_t size, int64_t value)
{
	uint64_t rest = (uint64_t)value;

	field[size - 1] = 0;
	for (size_t i = size - 1; i-- > 0; rest >>= 3)
		field[i] = (char)('0' + (rest & 7));
	return value >= 0 && rest == 0;
}

/* Two's complement, in what the mark leaves of the first byte and in those that follow. */
static bool get_base_256(const unsigned char *bytes, size_t size, int64_t *value)
{
	*value = (bytes[0] & 0x3f) - (bytes[0] & 0x40);
	for (size_t i = 1; i < size; i++) {
		if (*value > INT64_MAX / 256 || *value < INT64_MIN / 256)
			return false;
		*value = *value * 256 + bytes[i];
	}
	return true;
}

bool tar_get_number(const char *field, size_t size, int64_t *value)
{
	const char *at = field, *end = field + size;

	*value = 0;
	if (*field & 0x80)
		return get_base_256((const unsigned char *)field, size, value);
	while (at < end && (*at == ' ' || *at == 0))
		at++;
	for (; at < end && *at >= '0' && *at <= '7'; at++)
		*value = *value * 8 + (*at - '0'); /* the longest field has 36 bits */
	while (at < end && *at == ' ')
		at++;
	return at == end || *at == 0;
}

/* The checksum counts its own field as blanks. */
static int64_t sum(const struct tar_header *header, bool of_signed)
{
	const unsigned char *bytes = (const unsigned char *)header;
	int64_t total = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		bool own = i >= offsetof(struct tar_header, checksum) &&
			   i < offsetof(struct tar_header, type);
		total += own ? ' ' : of_signed ? (signed char)bytes[i] : bytes[i];
	}
	return total;
}

void tar_seal(struct tar_header *header)
{
	memcpy(header->magic, "ustar", 6);
	memcpy(header->version, "00", 2);
	tar_put_number(header->checksum, 7, sum(header, false));
	header->checksum[7] = ' ';
}

bool tar_checksum_valid(const struct tar_header *header)
{
	int64_t stored;

	/* Old programs added signed bytes. */
	return tar_get_number(header->checksum, sizeof header->checksum, &stored) &&
	       (stored == sum(header, false) || stored == sum(header, true));
}

bool tar_is_zero(const struct tar_header *header)
{
	static const struct tar_header zero;

	return memcmp(header, &zero, sizeof zero) == 0;
}

/* GNU tar has two times in the prefix's place; but archives exist, of Go's before 1.8, with its mark and a
 * name there. */
static bool is_old_go(const struct tar_header *header)
{
	const char *mark = (const char *)header + offsetof(struct tar_header, magic);
	int64_t time;

	if (memcmp(mark, "ustar  ", sizeof header->magic + sizeof header->version) != 0 ||
	    (tar_get_number(header->prefix, sizeof header->mtime, &time) &&
	     tar_get_number(header->prefix + sizeof header->mtime, sizeof header->mtime, &time)))
		return false;
	for (size_t i = 0; i < sizeof header->prefix && header->prefix[i]; i++)
		if (header->prefix[i] & 0x80)
			return false;
	return true;
}

size_t tar_prefix_length(const struct tar_header *header)
{
	/* star keeps times in the last bytes of the prefix, and its own mark behind them. */
	bool star = memcmp(header->rest + sizeof header->rest - 4, "tar", 4) == 0;

	if (memcmp(header->magic, "ustar", 6) == 0)
		return strnlen(header->prefix, star ? STAR_PREFIX : sizeof header->prefix);
	return is_old_go(header) ? strnlen(header->prefix, sizeof header->prefix) : 0;
}

bool tar_put_record(char *text, size_t size, size_t *used, const char *key, const char *value,
		    size_t length)
{
	size_t body = strlen(key) + length + 3, whole = body, digits;
	char number[24];

	/* The length counts its own digits. */
	do {
		digits = (size_t)snprintf(number, sizeof number, "%zu", whole);
		if (whole == body + digits)
			break;
		whole = body + digits;
	} while (true);
	if (whole > size - *used)
		return false;
	text += *used;
	*used += whole;
	memcpy(text, number, digits);
	text += digits;
	*text++ = ' ';
	memcpy(text, key, strlen(key));
	text += strlen(key);
	*text++ = '=';
	memcpy(text, value, length);
	text[length] = '\n';
	return true;
}

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

bool tar_get_record(struct span *text, struct span *key, struct span *value)
{
	const char *start = text->data, *at = start, *end = start + text->length, *equals;
	size_t length = 0;

	while (at < end && is_digit(*at) && at - start < LENGTH_DIGITS)
		length = length * 10 + (size_t)(*at++ - '0');
	if (at == start || at == end || *at++ != ' ' || length <= (size_t)(at - start) ||
	    length > text->length || start[length - 1] != '\n')
		return false;
	end = start + length - 1;
	equals = memchr(at, '=', (size_t)(end - at));
	if (!equals || equals == at)
		return false;
	*key = (struct span){ at, (size_t)(equals - at) };
	*value = (struct span){ equals + 1, (size_t)(end - equals - 1) };
	*text = (struct span){ end + 1, text->length - length };
	return true;
}

bool tar_get_decimal(struct span text, int64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < text.length; i++) {
		int digit = text.data[i] - '0';

		if (!is_digit(text.data[i]) || *value > (INT64_MAX - digit) / 10)
			return false;
		*value = *value * 10 + digit;
	}
	return text.length > 0;
}

bool tar_get_time(struct span text, struct timespec *time)
{
	bool negative = text.length && *text.data == '-';
	const char *start = text.data + negative, *end = text.data + text.length;
	const char *point = memchr(start, '.', (size_t)(end - start));
	struct span seconds = { start, (size_t)((point ? point : end) - start) };
	struct span decimals = { point ? point + 1 : end, point ? (size_t)(end - point - 1) : 0 };
	int64_t whole = 0, unit = NANOSECONDS, nanoseconds = 0;

	if ((!seconds.length && !decimals.length) ||
	    (seconds.length && !tar_get_decimal(seconds, &whole)))
		return false;
	for (size_t i = 0; i < decimals.length; i++) {
		if (!is_digit(decimals.data[i]))
			return false;
		unit /= 10;
		nanoseconds += unit * (decimals.data[i] - '0');
	}
	if (negative)
		whole = nanoseconds ? -whole - 1 : -whole;
	time->tv_sec = whole;
	time->tv_nsec = negative && nanoseconds ? NANOSECONDS - nanoseconds : nanoseconds;
	return true;
}

bool tar_take_number(struct tar_given *number, struct span value)
{
	*number = (struct tar_given){ .given = value.length > 0 };
	return !number->given || tar_get_decimal(value, &number->value);
}
