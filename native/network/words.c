#include "words.h"

#include <arpa/inet.h>
#include <string.h>

enum { LABEL_MOST = 63 };

static char lower(char letter)
{
	return (char)(letter >= 'A' && letter <= 'Z' ? letter + ('a' - 'A') : letter);
}

bool words_read(struct words *words, const char *line)
{
	bool within = false;
	size_t length = 0;

	words->count = 0;
	for (; *line; line++) {
		if (length == sizeof words->text - 1 || *line < ' ' || *line > '~')
			return false;
		words->text[length] = lower(*line);
		if (*line == ' ')
			words->text[length] = 0;
		else if (!within && words->count == WORDS_MOST)
			return false;
		else if (!within)
			words->at[words->count++] = words->text + length;
		within = *line != ' ';
		length++;
	}
	words->text[length] = 0;
	return true;
}

bool words_join(const struct words *words, char *text, size_t room)
{
	size_t length = 0;

	for (size_t i = 0; i < words->count; i++) {
		size_t more = strlen(words->at[i]);
		if (length + more + 1 > room)
			return false;
		memcpy(text + length, words->at[i], more);
		length += more;
		text[length++] = ' ';
	}
	if (length > 0)
		length--;
	text[length] = 0;
	return true;
}

bool word_is_address(const char *word, struct in6_addr *address)
{
	memset(address, 0, sizeof *address);
	address->s6_addr[10] = address->s6_addr[11] = 0xff;
	return inet_pton(AF_INET, word, &address->s6_addr[12]) == 1 || inet_pton(AF_INET6, word, address) == 1;
}

static bool is_digit(char letter)
{
	return letter >= '0' && letter <= '9';
}

bool word_looks_like_address(const char *word)
{
	const char *last = strrchr(word, '.');

	last = last ? last + 1 : word;
	return strpbrk(word, ":/") || (is_digit(*last) && last[strspn(last, "0123456789")] == 0);
}

bool word_is_name(const char *word)
{
	size_t label = 0;

	if (strlen(word) > WORD_NAME_MOST)
		return false;
	for (; *word; word++) {
		bool letter = (*word >= 'a' && *word <= 'z') || is_digit(*word) || *word == '-' || *word == '_';
		if (*word == '.' ? label == 0 : !letter)
			return false;
		label = *word == '.' ? 0 : label + 1;
		if (label > LABEL_MOST)
			return false;
	}
	return label > 0;
}
