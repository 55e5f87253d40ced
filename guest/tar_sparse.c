#include "tar_sparse.h"

#include <stdlib.h>
#include <string.h>

#include "tar_extract.h"

#define PREFIX "GNU.sparse."

enum {
	STRETCHES_MAX = 1 << 18,
	DIGITS_MAX = 18,
	/* Where GNU's own header has its map: GNU tar's manual, "Old GNU format". */
	OLD_MAP_AT = 386,
	OLD_MAP_COUNT = 4,
	OLD_GOES_ON_AT = 482,
	OLD_SIZE_AT = 483,
	MORE_COUNT = 21,
	MORE_GOES_ON_AT = 504,
	NUMBER_SIZE = 12,
};

void tar_sparse_clear(struct tar_sparse *sparse)
{
	free(sparse->stretches);
	*sparse = (struct tar_sparse){ 0 };
}

static void add(struct tar_sparse *sparse, int64_t offset, int64_t length)
{
	struct tar_stretch *grown;

	if (sparse->count == sparse->room) {
		sparse->room = sparse->room ? 2 * sparse->room : 16;
		grown = sparse->room > STRETCHES_MAX ?
				NULL :
				realloc(sparse->stretches, sparse->room * sizeof *grown);
		if (!grown) {
			sparse->malformed = true;
			sparse->room = sparse->count;
			return;
		}
		sparse->stretches = grown;
	}
	sparse->stretches[sparse->count++] = (struct tar_stretch){ offset, length };
}

static bool number(const char *text, size_t length, int64_t *value)
{
	*value = 0;
	if (length == 0 || length > DIGITS_MAX)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*value = 10 * *value + (text[i] - '0');
	}
	return true;
}

/* "offset,length,offset,length..." */
static void take_list(struct tar_sparse *sparse, const char *text, size_t length)
{
	const char *end = text + length;
	int64_t values[2];
	size_t have = 0;

	while (text < end && !sparse->malformed) {
		const char *comma = memchr(text, ',', (size_t)(end - text));
		const char *stop = comma ? comma : end;

		if (!number(text, (size_t)(stop - text), &values[have]))
			sparse->malformed = true;
		if (++have == 2) {
			add(sparse, values[0], values[1]);
			have = 0;
		}
		text = stop + 1;
	}
	if (have)
		sparse->malformed = true;
}

static bool is(const char *key, size_t length, const char *name)
{
	return length == strlen(name) && memcmp(key, name, length) == 0;
}

void tar_sparse_record(struct tar_sparse *sparse, const char *key, size_t key_length, const char *value,
		       size_t value_length)
{
	int64_t parsed;

	key += strlen(PREFIX);
	key_length -= strlen(PREFIX);
	sparse->given = true;
	if (is(key, key_length, "map")) {
		take_list(sparse, value, value_length);
		return;
	}
	if (!number(value, value_length, &parsed)) {
		sparse->malformed = true;
	} else if (is(key, key_length, "size") || is(key, key_length, "realsize")) {
		sparse->real_size = parsed;
	} else if (is(key, key_length, "offset")) {
		sparse->pending = parsed;
	} else if (is(key, key_length, "numbytes")) {
		add(sparse, sparse->pending, parsed);
	} else if (is(key, key_length, "major")) {
		sparse->major = parsed;
		sparse->malformed |= parsed > 1;
	} else if (!is(key, key_length, "minor") && !is(key, key_length, "numblocks")) {
		sparse->malformed = true; /* it may change what the data mean */
	}
}

static void take_old(struct tar_sparse *sparse, const char *at, size_t count)
{
	for (size_t i = 0; i < count; i++, at += 2 * NUMBER_SIZE) {
		int64_t offset, length;

		if (!*at && !at[NUMBER_SIZE])
			return;
		if (!tar_get_number(at, NUMBER_SIZE, &offset) ||
		    !tar_get_number(at + NUMBER_SIZE, NUMBER_SIZE, &length))
			sparse->malformed = true;
		else
			add(sparse, offset, length);
	}
}

bool tar_sparse_header(struct tar_sparse *sparse, const struct tar_header *header)
{
	const char *bytes = (const char *)header;
	bool goes_on = bytes[OLD_GOES_ON_AT];
	char block[TAR_BLOCK];

	tar_sparse_clear(sparse);
	sparse->given = true;
	sparse->malformed = !tar_get_number(bytes + OLD_SIZE_AT, NUMBER_SIZE, &sparse->real_size);
	take_old(sparse, bytes + OLD_MAP_AT, OLD_MAP_COUNT);
	while (goes_on) {
		if (tar_take(block, sizeof block) < sizeof block)
			return false;
		take_old(sparse, block, MORE_COUNT);
		goes_on = block[MORE_GOES_ON_AT] && !sparse->malformed;
	}
	return true;
}

/* The decimal lines at the beginning of the data: block by block, since a line may cross two. */
struct lines {
	char block[TAR_BLOCK];
	size_t at;
	int64_t left;
	bool ended;
};

static bool next_number(struct lines *lines, int64_t *value)
{
	char text[DIGITS_MAX + 1];
	size_t length = 0;

	for (;;) {
		if (lines->at == TAR_BLOCK) {
			if (lines->left < TAR_BLOCK)
				return false;
			if (tar_take(lines->block, TAR_BLOCK) < TAR_BLOCK) {
				lines->ended = true;
				return false;
			}
			lines->at = 0;
			lines->left -= TAR_BLOCK;
		}
		if (lines->block[lines->at] == '\n') {
			lines->at++;
			return number(text, length, value);
		}
		if (length == sizeof text)
			return false;
		text[length++] = lines->block[lines->at++];
	}
}

bool tar_sparse_map(struct tar_sparse *sparse, int64_t *stored)
{
	struct lines lines = { .at = TAR_BLOCK, .left = *stored };
	int64_t count, offset, length;

	if (sparse->major != 1 || sparse->malformed)
		return true;
	sparse->count = 0;
	if (!next_number(&lines, &count) || count > STRETCHES_MAX)
		sparse->malformed = true;
	while (!sparse->malformed && count-- > 0) {
		if (next_number(&lines, &offset) && next_number(&lines, &length))
			add(sparse, offset, length);
		else
			sparse->malformed = true;
	}
	*stored = lines.left;
	return !lines.ended;
}

bool tar_sparse_fits(const struct tar_sparse *sparse, int64_t stored)
{
	int64_t end = 0, total = 0;

	if (sparse->malformed || sparse->real_size < 0)
		return false;
	for (size_t i = 0; i < sparse->count; i++) {
		const struct tar_stretch *stretch = &sparse->stretches[i];

		if (stretch->offset < end || stretch->length < 0 ||
		    stretch->offset > sparse->real_size - stretch->length)
			return false;
		end = stretch->offset + stretch->length;
		total += stretch->length;
	}
	return total == stored;
}
