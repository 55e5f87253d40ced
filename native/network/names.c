#include "names.h"

#include "words.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* As small as it can be: each of the machines on a network has a name for each of the others. */
struct entry {
	struct in6_addr *addresses;
	size_t count;
	char name[];
};

struct names {
	struct entry **at; /* ordered by name */
	size_t count, room;
};

struct names *names_new(void)
{
	return calloc(1, sizeof(struct names));
}

void names_free(struct names *names)
{
	if (!names)
		return;
	for (size_t i = 0; i < names->count; i++) {
		free(names->at[i]->addresses);
		free(names->at[i]);
	}
	free(names->at);
	free(names);
}

/* The place of a name, or where it would be. */
static size_t place_of(const struct names *names, const char *name)
{
	size_t first = 0, end = names->count;

	while (first < end) {
		size_t middle = first + (end - first) / 2;
		if (strcasecmp(names->at[middle]->name, name) < 0)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

static struct entry *find(const struct names *names, const char *name)
{
	size_t place = place_of(names, name);

	return place < names->count && strcasecmp(names->at[place]->name, name) == 0 ? names->at[place] : NULL;
}

static bool grow(struct names *names)
{
	size_t room = names->room ? names->room * 2 : 8;
	struct entry **at = realloc(names->at, room * sizeof *at);

	if (!at)
		return false;
	names->at = at;
	names->room = room;
	return true;
}

static struct entry *add(struct names *names, const char *name)
{
	size_t place = place_of(names, name);
	struct entry *entry;

	if (names->count == names->room && !grow(names))
		return NULL;
	if (!(entry = calloc(1, sizeof *entry + strlen(name) + 1)))
		return NULL;
	strcpy(entry->name, name);
	memmove(&names->at[place + 1], &names->at[place], (names->count - place) * sizeof *names->at);
	names->at[place] = entry;
	names->count++;
	return entry;
}

static bool has(const struct entry *entry, const struct in6_addr *address)
{
	for (size_t i = 0; i < entry->count; i++)
		if (memcmp(&entry->addresses[i], address, sizeof *address) == 0)
			return true;
	return false;
}

/* For that many more addresses. */
static bool make_room(struct entry *entry, size_t more)
{
	struct in6_addr *addresses = realloc(entry->addresses, (entry->count + more) * sizeof *addresses);

	if (addresses)
		entry->addresses = addresses;
	return addresses != NULL;
}

const char *names_line(struct names *names, const char *line)
{
	struct words words;
	struct entry *entry;
	struct in6_addr address;

	if (!words_read(&words, line) || words.count < 3 || strcmp(words.at[0], "name") != 0)
		return "a name has addresses";
	if (!word_is_name(words.at[1]))
		return "not a name";
	for (size_t i = 2; i < words.count; i++)
		if (!word_is_address(words.at[i], &address))
			return "not an address";
	entry = find(names, words.at[1]);
	if ((entry ? entry->count : 0) + words.count - 2 > NAME_ADDRESSES_MOST)
		return "too many addresses of a name";
	if (!entry && names->count == NAMES_MOST)
		return "too many names";
	if (!entry && !(entry = add(names, words.at[1])))
		return "no memory";
	if (!make_room(entry, words.count - 2))
		return "no memory";
	for (size_t i = 2; i < words.count; i++)
		if (word_is_address(words.at[i], &address) && !has(entry, &address))
			entry->addresses[entry->count++] = address;
	return NULL;
}

bool names_find(const struct names *names, const char *name, const struct in6_addr **addresses, size_t *count)
{
	const struct entry *entry = find(names, name);

	if (!entry)
		return false;
	*addresses = entry->addresses;
	*count = entry->count;
	return true;
}

const char *names_of(const struct names *names, const struct in6_addr *address)
{
	for (size_t i = 0; i < names->count; i++)
		if (has(names->at[i], address))
			return names->at[i]->name;
	return NULL;
}
