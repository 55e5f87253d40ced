#include "tar_pax.h"

#include <stdlib.h>
#include <string.h>

static void clear_records(struct tar_pax *pax)
{
	free(pax->name);
	free(pax->link);
	free(pax->sparse_name);
	tar_sparse_clear(&pax->sparse);
	tar_xattr_clear(&pax->xattrs);
	*pax = (struct tar_pax){ .long_name = pax->long_name, .long_link = pax->long_link };
}

void tar_pax_clear(struct tar_pax *pax)
{
	clear_records(pax);
	free(pax->long_name);
	free(pax->long_link);
	*pax = (struct tar_pax){ 0 };
}

/* An empty text takes back what was said before. False for one that no file can be called. */
static bool take_text(char **text, struct span value)
{
	free(*text);
	*text = NULL;
	if (memchr(value.data, 0, value.length))
		return false;
	if (value.length)
		*text = strndup(value.data, value.length);
	return !value.length || *text;
}

static bool take_owner(struct tar_given *owner, struct span value)
{
	bool negative = value.length && *value.data == '-';
	struct span digits = { value.data + negative, value.length - negative };

	if (!tar_take_number(owner, digits) || (negative && !digits.length))
		return false;
	if (negative)
		owner->value = -owner->value;
	return true;
}

static bool take_mtime(struct tar_pax *pax, struct span value)
{
	pax->has_mtime = value.length > 0;
	return !pax->has_mtime || tar_get_time(value, &pax->mtime);
}

static bool has_prefix(struct span key, const char *prefix, struct span *rest)
{
	size_t length = strlen(prefix);

	if (key.length < length || memcmp(key.data, prefix, length) != 0)
		return false;
	*rest = (struct span){ key.data + length, key.length - length };
	return true;
}

/* What it does not know says nothing about a file on a disk: other times, names of users, comments. */
static bool take_record(struct tar_pax *pax, struct span key, struct span value)
{
	struct span rest;

	if (span_is(key, "path"))
		return take_text(&pax->name, value);
	if (span_is(key, "linkpath"))
		return take_text(&pax->link, value);
	if (span_is(key, "size"))
		return tar_take_number(&pax->size, value);
	if (span_is(key, "uid"))
		return take_owner(&pax->uid, value);
	if (span_is(key, "gid"))
		return take_owner(&pax->gid, value);
	if (span_is(key, "mtime"))
		return take_mtime(pax, value);
	if (span_is(key, "SCHILY.devmajor"))
		return tar_take_number(&pax->major, value);
	if (span_is(key, "SCHILY.devminor"))
		return tar_take_number(&pax->minor, value);
	if (span_is(key, TAR_SPARSE "name"))
		return take_text(&pax->sparse_name, value);
	if (has_prefix(key, TAR_SPARSE, &rest))
		return tar_sparse_record(&pax->sparse, rest, value);
	if (has_prefix(key, TAR_CODED_XATTR, &rest))
		return tar_xattr_coded_record(&pax->xattrs, rest, value);
	return !has_prefix(key, TAR_XATTR, &rest) || tar_xattr_record(&pax->xattrs, rest, value);
}

static bool take_records(struct tar_pax *pax, struct span text)
{
	struct span key, value;

	clear_records(pax);
	while (text.length && text.data[text.length - 1] == 0)
		text.length--; /* some fill the header up */
	while (text.length)
		if (!tar_get_record(&text, &key, &value) || !take_record(pax, key, value))
			return false;
	return true;
}

bool tar_pax_take(struct tar_pax *pax, char type, struct span contents)
{
	struct span name = { contents.data, strnlen(contents.data, contents.length) };
	bool good = type == 'L' ? take_text(&pax->long_name, name) :
		    type == 'K' ? take_text(&pax->long_link, name) :
				  take_records(pax, contents);

	pax->pending = true;
	return good;
}

static char *take_first(char **one, char **two, char **three)
{
	char **first = *one ? one : *two ? two : three, *text = *first;

	*first = NULL;
	return text;
}

char *tar_pax_name(struct tar_pax *pax, bool sparse)
{
	return take_first(&pax->long_name, sparse ? &pax->sparse_name : &pax->name, &pax->name);
}

char *tar_pax_link(struct tar_pax *pax)
{
	return take_first(&pax->long_link, &pax->link, &pax->link);
}
