#include "tar_coded.h"

#include <stdint.h>
#include <string.h>

static int digit_of(char byte)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = byte ? strchr(digits, byte >= 'A' && byte <= 'F' ? byte + 'a' - 'A' : byte) : NULL;

	return found ? (int)(found - digits) : -1;
}

size_t tar_decode_percent(char *text, size_t length)
{
	size_t used = 0;

	for (size_t at = 0; at < length; at++) {
		int high = at + 2 < length && text[at] == '%' ? digit_of(text[at + 1]) : -1;
		int low = high < 0 ? -1 : digit_of(text[at + 2]);

		text[used++] = (char)(low < 0 ? text[at] : high << 4 | low);
		at += low < 0 ? 0 : 2;
	}
	return used;
}

static int value_of(char byte)
{
	static const char values[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = byte ? strchr(values, byte) : NULL;

	return found ? (int)(found - values) : -1;
}

bool tar_decode_base64(char *text, size_t *length)
{
	size_t count = *length, used = 0, padding;
	uint32_t bits = 0;

	while (count && text[count - 1] == '=')
		count--;
	padding = *length - count;
	if (count % 4 == 1 || padding > (4 - count % 4) % 4)
		return false;
	for (size_t at = 0; at < count; at++) {
		int value = value_of(text[at]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		if (at % 4)
			text[used++] = (char)(bits >> (6 - at % 4 * 2));
	}
	*length = used;
	return true;
}
