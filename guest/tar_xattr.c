#include "tar_xattr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "tar.h"
#include "tar_coded.h"

enum { NAME_SIZE = 256, NAMES_SIZE = 65536, VALUE_SIZE = 65536, COUNT_MAX = 1024 };

static bool travels(const char *name)
{
	return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0;
}

static void drop(struct tar_xattr *one)
{
	free(one->value);
	free(one);
}

void tar_xattr_clear(struct tar_xattr **list)
{
	while (*list) {
		struct tar_xattr *next = (*list)->next;

		drop(*list);
		*list = next;
	}
}

/* Puts it into the place of the one with its name, or at the end. False if there are too many. */
static bool put(struct tar_xattr **list, struct tar_xattr *one)
{
	size_t before = 0;

	for (; *list && strcmp((*list)->name, one->name) != 0; list = &(*list)->next)
		if (++before == COUNT_MAX)
			return false;
	if (*list) {
		one->next = (*list)->next;
		drop(*list);
	}
	*list = one;
	return true;
}

bool tar_xattr_record(struct tar_xattr **list, struct span name, struct span value)
{
	struct tar_xattr *one;

	if (!name.length || name.length >= NAME_SIZE || memchr(name.data, 0, name.length))
		return false;
	one = calloc(1, sizeof *one + name.length + 1);
	if (!one)
		return false;
	memcpy(one->name, name.data, name.length);
	if (!travels(one->name)) {
		drop(one);
		return true;
	}
	one->length = value.length;
	one->value = malloc(value.length + 1);
	if (!one->value || !put(list, one)) {
		drop(one);
		return false;
	}
	memcpy(one->value, value.data, value.length);
	return true;
}

static bool has(const struct tar_xattr *list, struct span name)
{
	for (; list; list = list->next)
		if (span_is(name, list->name))
			return true;
	return false;
}

static char *copy_of(struct span text)
{
	char *copy = malloc(text.length + 1);

	if (copy)
		memcpy(copy, text.data, text.length);
	return copy;
}

bool tar_xattr_coded_record(struct tar_xattr **list, struct span name, struct span value)
{
	char *plain_name = copy_of(name), *plain_value = copy_of(value);
	bool good = plain_name && plain_value;

	if (good) {
		name = (struct span){ plain_name, tar_decode_percent(plain_name, name.length) };
		value.data = plain_value;
		good = has(*list, name) || (tar_decode_base64(plain_value, &value.length) &&
					    tar_xattr_record(list, name, value));
	}
	free(plain_name);
	free(plain_value);
	return good;
}

int tar_xattr_set(int fd, const struct tar_xattr *list)
{
	int result = 0;

	for (; list; list = list->next)
		if (fsetxattr(fd, list->name, list->value, list->length, 0) < 0)
			result = -1;
	return result;
}

int tar_xattr_put(int fd, char *text, size_t size, size_t *used)
{
	static char names[NAMES_SIZE], value[VALUE_SIZE];
	char key[sizeof TAR_XATTR + NAME_SIZE];
	ssize_t listed = flistxattr(fd, names, sizeof names), length;
	int result = 0;

	if (listed < 0)
		return errno == ENOTSUP ? 0 : -1;
	for (const char *name = names; name < names + listed; name += strlen(name) + 1) {
		if (!travels(name))
			continue;
		length = fgetxattr(fd, name, value, sizeof value);
		if (length < 0)
			return -1;
		snprintf(key, sizeof key, TAR_XATTR "%.255s", name);
		/* A key ends where its first "=" is. */
		if (strchr(name, '=') || !tar_put_record(text, size, used, key, value, (size_t)length))
			result = E2BIG;
	}
	errno = result;
	return result ? -1 : 0;
}
