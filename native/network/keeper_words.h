/* The words of a request, checked: what a request is made of, before anything is done. */
#ifndef BANGER_KEEPER_WORDS_H
#define BANGER_KEEPER_WORDS_H

#include "keeper_address.h"

#include <stdbool.h>
#include <stddef.h>

enum { WORDS_MOST = 6, WORD_SIZE = 65 };

struct words {
	size_t count;
	char at[WORDS_MOST][WORD_SIZE];
};

/* Words are apart by one space and printable; one line feed may end the last. False: anything else, and too much of it. */
bool words_split(const char *text, size_t length, struct words *words);

/* [A-Za-z0-9._-]{1,64} */
bool is_key(const char *word);

/* A decimal number without sign or leading zeros, between the two. */
bool is_number(const char *word, unsigned least, unsigned most, unsigned *number);

/* An address of this family, or "-" for none. */
bool is_address_or_none(const char *word, int family, struct address *address);

/* An address of either family. */
bool is_address(const char *word, struct address *address);

#endif
