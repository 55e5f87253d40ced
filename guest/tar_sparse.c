#include "tar_sparse.h"

#include <stdlib.h>
#include <string.h>

#include "tar_extract.h"

enum {
	STRETCHES_MAX = 1 << 18,
	/* Where GNU's own header has its map: GNU tar's manual, "Old GNU format". */
	OLD_MAP_AT = 386,
	OLD_MAP_COUNT = 4,
	OLD_GOES_ON_AT = 482,
	OLD_SIZE_AT = 483,
	MORE_COUNT = 21,
	MORE_GOES_ON_AT = 504,
	NUMBER_SIZE = 12,
	/* Of a number in front of the data: zeros may come first. */
	LINE_MAX_LENGTH = 64,
};

void tar_sparse_clear(struct tar_sparse *sparse)
{
	free(sparse->stretches);
	*sparse = (struct tar_sparse){ 0 };
}

static bool add(struct tar_sparse *sparse, int64_t offset, int64_t length)
{
	size_t room = sparse->room ? 2 * sparse->room : 16;
	struct tar_stretch *grown;

	if (sparse->count == sparse->room) {
		if (room > STRETCHES_MAX ||
		    !(grown = realloc(sparse->stretches, room * sizeof *grown)))
			return false;
		sparse->stretches = grown;
		sparse->room = room;
	}
	sparse->stretches[sparse->count++] = (struct tar_stretch){ offset, length };
	return true;
}

static struct span until(char stop, struct span text)
{
	const char *found = memchr(text.data, stop, text.length);

	return (struct span){ text.data, found ? (size_t)(found - text.data) : text.length };
}

/* "offset,length,offset,length..."; the last such record counts. */
static bool take_list(struct tar_sparse *sparse, struct span text)
{
	int64_t values[2];
	size_t have = 0;

	sparse->count = 0;
	sparse->listed = true;
	if (!text.length)
		return true; /* a file without data */
	for (;;) {
		struct span number = until(',', text);

		if (!tar_get_decimal(number, &values[have]))
			return false;
		if (++have == 2 && !add(sparse, values[0], values[1]))
			return false;
		have %= 2;
		if (number.length == text.length)
			return have == 0;
		text.data += number.length + 1;
		text.length -= number.length + 1;
	}
}

static bool take_offset(struct tar_sparse *sparse, struct span value)
{
	return !sparse->pending.given && value.length && tar_take_number(&sparse->pending, value);
}

static bool take_length(struct tar_sparse *sparse, struct span value)
{
	int64_t length;

	if (!sparse->pending.given || sparse->listed || !tar_get_decimal(value, &length))
		return false;
	sparse->pending.given = false;
	return add(sparse, sparse->pending.value, length);
}

bool tar_sparse_record(struct tar_sparse *sparse, struct span key, struct span value)
{
	if (span_is(key, "map"))
		return take_list(sparse, value);
	if (span_is(key, "offset"))
		return take_offset(sparse, value);
	if (span_is(key, "numbytes"))
		return take_length(sparse, value);
	if (span_is(key, "size"))
		return tar_take_number(&sparse->size, value);
	if (span_is(key, "realsize"))
		return tar_take_number(&sparse->real_size, value);
	if (span_is(key, "major"))
		return tar_take_number(&sparse->major, value);
	if (span_is(key, "minor"))
		return tar_take_number(&sparse->minor, value);
	return span_is(key, "numblocks") && tar_take_number(&sparse->blocks, value);
}

static bool fits(const struct tar_sparse *sparse, int64_t stored)
{
	int64_t end = 0, total = 0;

	for (size_t i = 0; i < sparse->count; i++) {
		const struct tar_stretch *stretch = &sparse->stretches[i];

		if (stretch->offset < end || stretch->length < 0 ||
		    stretch->offset > sparse->length - stretch->length)
			return false;
		end = stretch->offset + stretch->length;
		total += stretch->length;
	}
	return sparse->length >= 0 && total == stored;
}

static bool is_blank(const char *at, size_t length)
{
	while (length && (*at == 0 || *at == ' ')) {
		at++;
		length--;
	}
	return length == 0;
}

/* Pairs; an empty one ends the map. */
static bool take_old(struct tar_sparse *sparse, const char *at, size_t count)
{
	for (; count && !is_blank(at, 2 * NUMBER_SIZE); count--, at += 2 * NUMBER_SIZE) {
		int64_t offset, length;

		if (!tar_get_number(at, NUMBER_SIZE, &offset) ||
		    !tar_get_number(at + NUMBER_SIZE, NUMBER_SIZE, &length) ||
		    !add(sparse, offset, length))
			return false;
	}
	return true;
}

bool tar_sparse_header(struct tar_sparse *sparse, const struct tar_header *header, int64_t stored)
{
	const char *bytes = (const char *)header;
	bool goes_on = bytes[OLD_GOES_ON_AT];
	char block[TAR_BLOCK];

	tar_sparse_clear(sparse);
	if (!tar_get_number(bytes + OLD_SIZE_AT, NUMBER_SIZE, &sparse->length) ||
	    !take_old(sparse, bytes + OLD_MAP_AT, OLD_MAP_COUNT))
		return false;
	while (goes_on) {
		if (tar_take(block, sizeof block) < sizeof block || !take_old(sparse, block, MORE_COUNT))
			return false;
		goes_on = block[MORE_GOES_ON_AT];
	}
	return fits(sparse, stored);
}

/* The decimal lines at the beginning of the data: block by block, since a line may cross two. */
struct lines {
	char block[TAR_BLOCK];
	size_t at;
	int64_t left;
};

static bool next_number(struct lines *lines, int64_t *value)
{
	char text[LINE_MAX_LENGTH];
	size_t length = 0;

	while (length < sizeof text) {
		if (lines->at == TAR_BLOCK) {
			if (lines->left < TAR_BLOCK || tar_take(lines->block, TAR_BLOCK) < TAR_BLOCK)
				return false;
			lines->at = 0;
			lines->left -= TAR_BLOCK;
		}
		text[length] = lines->block[lines->at++];
		if (text[length] == '\n')
			return tar_get_decimal((struct span){ text, length }, value);
		length++;
	}
	return false;
}

static bool take_leading(struct tar_sparse *sparse, int64_t *stored)
{
	struct lines lines = { .at = TAR_BLOCK, .left = *stored };
	int64_t count, offset, length;

	sparse->count = 0;
	if (!next_number(&lines, &count))
		return false;
	while (count-- > 0)
		if (!next_number(&lines, &offset) || !next_number(&lines, &length) ||
		    !add(sparse, offset, length))
			return false;
	*stored = lines.left;
	return true;
}

static bool is_leading(const struct tar_sparse *sparse)
{
	return sparse->major.value == 1 && sparse->minor.given && sparse->minor.value == 0;
}

bool tar_sparse_given(const struct tar_sparse *sparse)
{
	return sparse->major.value || sparse->listed || sparse->blocks.given || sparse->count ||
	       sparse->pending.given;
}

bool tar_sparse_map(struct tar_sparse *sparse, int64_t *stored)
{
	const struct tar_given *size = sparse->size.given && !is_leading(sparse) ? &sparse->size :
										     &sparse->real_size;

	if (!size->given || sparse->pending.given || (sparse->major.value && !is_leading(sparse)))
		return false;
	sparse->length = size->value;
	if (is_leading(sparse) && !take_leading(sparse, stored))
		return false;
	return fits(sparse, *stored);
}
