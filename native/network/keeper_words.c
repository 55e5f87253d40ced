#include "keeper_words.h"

#include <string.h>

static bool printable(char letter)
{
	return letter > ' ' && letter < 127;
}

/* The letters before the first that is not printable. */
static size_t word_length(const char *text, size_t length)
{
	size_t size = 0;

	while (size < length && printable(text[size]))
		size++;
	return size;
}

bool words_split(const char *text, size_t length, struct words *words)
{
	size_t at = 0;

	words->count = 0;
	if (length > 0 && text[length - 1] == '\n')
		length--;
	for (;;) {
		size_t size = word_length(text + at, length - at);
		if (size == 0 || size >= WORD_SIZE || words->count == WORDS_MOST)
			return false;
		memcpy(words->at[words->count], text + at, size);
		words->at[words->count++][size] = 0;
		at += size;
		if (at == length)
			return true;
		if (text[at++] != ' ')
			return false;
	}
}

bool is_key(const char *word)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	return *word && word[strspn(word, letters)] == 0;
}

bool is_number(const char *word, unsigned least, unsigned most, unsigned *number)
{
	size_t digits = strspn(word, "0123456789");

	if (digits == 0 || digits > 6 || word[digits] || (digits > 1 && word[0] == '0'))
		return false;
	*number = 0;
	for (; *word; word++)
		*number = 10 * *number + (unsigned)(*word - '0');
	return *number >= least && *number <= most;
}

bool is_address_or_none(const char *word, int family, struct address *address)
{
	*address = (struct address){0};
	return strcmp(word, "-") == 0 || address_read(word, family, address);
}

bool is_address(const char *word, struct address *address)
{
	return address_read(word, strchr(word, ':') ? AF_INET6 : AF_INET, address);
}
