#include "cmdline.h"

#include <string.h>

#include "files.h"

bool cmdline_get(const char *key, char *value, size_t size)
{
	static char line[4096];
	size_t key_length = strlen(key);

	value[0] = 0;
	if (!line[0] && file_read_line("/proc/cmdline", line, sizeof line) <= 0)
		return false;
	for (const char *at = line; *at;) {
		size_t length = strcspn(at, " ");

		if (length >= key_length && memcmp(at, key, key_length) == 0) {
			const char *rest = at + key_length;
			size_t rest_length = length - key_length;

			if (rest_length == 0)
				return true;
			if (*rest == '=' && rest_length - 1 < size) {
				memcpy(value, rest + 1, rest_length - 1);
				value[rest_length - 1] = 0;
				return true;
			}
		}
		at += length;
		at += strspn(at, " ");
	}
	return false;
}
