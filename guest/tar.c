#include "tar.h"

#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a header is one block");

bool tar_put_number(char *field, size_t size, int64_t value)
{
	uint64_t rest = (uint64_t)value;

	field[size - 1] = 0;
	for (size_t i = size - 1; i-- > 0; rest >>= 3)
		field[i] = (char)('0' + (rest & 7));
	return value >= 0 && rest == 0;
}

bool tar_get_number(const char *field, size_t size, int64_t *value)
{
	const unsigned char *bytes = (const unsigned char *)field;
	uint64_t number = 0;
	size_t i = 0;

	if (bytes[0] == 0x80) {
		for (i = 1; i < size; i++) {
			if (number >> 55)
				return false;
			number = number << 8 | bytes[i];
		}
		*value = (int64_t)number;
		return true;
	}
	while (i < size && (field[i] == ' ' || field[i] == 0))
		i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
		if (number >> 60)
			return false;
		number = number << 3 | (uint64_t)(field[i] - '0');
	}
	*value = (int64_t)number;
	return i == size || field[i] == 0 || field[i] == ' ';
}

/* The checksum counts its own field as blanks. */
static unsigned sum(const struct tar_header *header)
{
	const unsigned char *bytes = (const unsigned char *)header;
	unsigned total = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		bool own = i >= offsetof(struct tar_header, checksum) &&
			   i < offsetof(struct tar_header, type);
		total += own ? ' ' : bytes[i];
	}
	return total;
}

void tar_seal(struct tar_header *header)
{
	memcpy(header->magic, "ustar", 6);
	memcpy(header->version, "00", 2);
	tar_put_number(header->checksum, 7, (int64_t)sum(header));
	header->checksum[7] = ' ';
}

bool tar_checksum_valid(const struct tar_header *header)
{
	int64_t stored;

	return tar_get_number(header->checksum, sizeof header->checksum, &stored) &&
	       stored == (int64_t)sum(header);
}

bool tar_is_zero(const struct tar_header *header)
{
	static const struct tar_header zero;

	return memcmp(header, &zero, sizeof zero) == 0;
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

bool tar_get_record(const char **at, const char *end, const char **key, size_t *key_length,
		    const char **value, size_t *value_length, bool *bad)
{
	const char *start = *at, *digit = start, *equals;
	size_t length = 0;

	*bad = false;
	if (start >= end)
		return false;
	*bad = true;
	while (digit < end && *digit >= '0' && *digit <= '9' && length <= (size_t)(end - start))
		length = length * 10 + (size_t)(*digit++ - '0');
	if (digit == start || digit >= end || *digit != ' ' || length > (size_t)(end - start) ||
	    start + length <= digit + 1 || start[length - 1] != '\n')
		return false;
	*key = digit + 1;
	equals = memchr(*key, '=', (size_t)(start + length - 1 - *key));
	if (!equals)
		return false;
	*key_length = (size_t)(equals - *key);
	*value = equals + 1;
	*value_length = (size_t)(start + length - 1 - *value);
	*at = start + length;
	*bad = false;
	return true;
}
