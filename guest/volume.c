#include "volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { VOLUME_READ_ONLY = 1, VOLUME_NO_COPY = 2, VOLUME_FLAGS = 3 };

static bool take_number(char **text, unsigned long long *number)
{
	char *rest;

	errno = 0;
	*number = strtoull(*text, &rest, 10);
	if (errno || **text < '0' || **text > '9' || *rest != ' ')
		return false;
	*text = rest + 1;
	return true;
}

int volume_parse(struct span value, struct volume *volume, struct err *err)
{
	static char text[PATH_MAX + 80];
	char *rest = text;
	unsigned long long slot, bytes, flags;

	if (!span_copy(value, text, sizeof text))
		return err_set(err, ERR_BAD_REQUEST, 0, "a volume is too long");
	if (!take_number(&rest, &slot) || !take_number(&rest, &bytes) || !take_number(&rest, &flags))
		return err_set(err, ERR_BAD_REQUEST, 0, "a volume without its numbers");
	if (slot >= VOLUMES_MAX || bytes > INT64_MAX || flags > VOLUME_FLAGS)
		return err_set(err, ERR_BAD_REQUEST, 0, "a volume with a number that is too large");
	if (rest[0] != '/' || strlen(rest) >= PATH_MAX)
		return err_set(err, ERR_BAD_REQUEST, 0, "a volume without an absolute path");
	volume->slot = slot;
	volume->bytes = bytes;
	volume->read_only = flags & VOLUME_READ_ONLY;
	volume->no_copy = flags & VOLUME_NO_COPY;
	strcpy(volume->path, rest);
	return 0;
}
