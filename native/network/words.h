/* Words of a line: how policies and names are told to the relay. */
#ifndef BANGER_WORDS_H
#define BANGER_WORDS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

enum { WORDS_MOST = 32, WORDS_TEXT = 2048, WORD_NAME_MOST = 253 };

struct words {
	char text[WORDS_TEXT];
	char *at[WORDS_MOST];
	size_t count;
};

/* Takes a line apart at its spaces, in lower case. False: the line is too long, has too many words, or other than
 * printable characters of ASCII. */
bool words_read(struct words *words, const char *line);

/* The words with single spaces between them. False: there is no room. */
bool words_join(const struct words *words, char *text, size_t room);

/* An address, IPv4 in its form with four numbers; kept as ::ffff:a.b.c.d. */
bool word_is_address(const char *word, struct in6_addr *address);

/* A word that can only be meant as an address or a range of addresses: it has a colon or a slash, or ends in a number. */
bool word_looks_like_address(const char *word);

/* A name of labels in lower case: letters, digits, '-' and '_', 63 a label. */
bool word_is_name(const char *word);

#endif
