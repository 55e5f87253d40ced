#include "tar_xattr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "tar.h"

enum { NAME_SIZE = 256, NAMES_SIZE = 65536, VALUE_SIZE = 65536 };

static bool travels(const char *name)
{
	return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0;
}

void tar_xattr_clear(struct tar_xattr **list)
{
	while (*list) {
		struct tar_xattr *next = (*list)->next;

		free((*list)->value);
		free(*list);
		*list = next;
	}
}

bool tar_xattr_record(struct tar_xattr **list, const char *key, size_t key_length, const char *value,
		      size_t value_length)
{
	size_t length = key_length - strlen(TAR_XATTR);
	struct tar_xattr *one;

	if (length >= NAME_SIZE)
		return true; /* no file can have it */
	one = calloc(1, sizeof *one + length + 1);
	if (!one)
		return false;
	memcpy(one->name, key + strlen(TAR_XATTR), length);
	one->value = malloc(value_length + 1);
	if (!one->value) {
		free(one);
		return false;
	}
	memcpy(one->value, value, value_length);
	one->length = value_length;
	one->next = *list;
	*list = one;
	return true;
}

int tar_xattr_set(int fd, const struct tar_xattr *list)
{
	int result = 0;

	for (; list; list = list->next)
		if (travels(list->name) && fsetxattr(fd, list->name, list->value, list->length, 0) < 0)
			result = -1;
	return result;
}

int tar_xattr_put(int fd, char *text, size_t size, size_t *used)
{
	static char names[NAMES_SIZE], value[VALUE_SIZE];
	char key[sizeof TAR_XATTR + NAME_SIZE];
	ssize_t listed = flistxattr(fd, names, sizeof names), length;

	if (listed < 0)
		return errno == ENOTSUP ? 0 : -1;
	for (const char *name = names; name < names + listed; name += strlen(name) + 1) {
		if (!travels(name))
			continue;
		length = fgetxattr(fd, name, value, sizeof value);
		if (length < 0)
			return -1;
		snprintf(key, sizeof key, TAR_XATTR "%.255s", name);
		if (!tar_put_record(text, size, used, key, value, (size_t)length)) {
			errno = E2BIG;
			return -1;
		}
	}
	return 0;
}
