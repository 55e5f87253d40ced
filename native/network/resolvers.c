#include "resolvers.h"

#include "words.h"

#include <string.h>

enum { LINE_MOST = 256 };

/* "fe80::1%eth0": cuts the scope off. False: it is too long. */
static bool take_scope(char *word, char scope[RESOLVER_SCOPE])
{
	char *percent = strchr(word, '%');

	scope[0] = 0;
	if (!percent)
		return true;
	*percent++ = 0;
	if (!*percent || strlen(percent) >= RESOLVER_SCOPE)
		return false;
	strcpy(scope, percent);
	return true;
}

static bool read_line(char *line, struct resolver *resolver)
{
	const char *between = " \t\r";
	char *rest, *word = strtok_r(line, between, &rest);

	if (!word || strcmp(word, "nameserver") != 0 || !(word = strtok_r(NULL, between, &rest)))
		return false;
	return take_scope(word, resolver->scope) && word_is_address(word, &resolver->host);
}

size_t resolvers_read(const char *text, size_t length, struct resolver resolvers[RESOLVERS_MOST])
{
	size_t count = 0;
	const char *end = text + length;

	while (text < end && count < RESOLVERS_MOST) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t size = (size_t)((stop ? stop : end) - text);
		char line[LINE_MOST];
		if (size < sizeof line) {
			memcpy(line, text, size);
			line[size] = 0;
			if (read_line(line, &resolvers[count]))
				count++;
		}
		text = stop ? stop + 1 : end;
	}
	if (count == 0) {
		resolvers[0].scope[0] = 0;
		word_is_address("127.0.0.1", &resolvers[0].host);
		count = 1;
	}
	return count;
}
