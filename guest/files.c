#include "files.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"

ssize_t file_read(const char *path, char *text, size_t size)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size_t used = 0;

	text[0] = 0;
	if (fd < 0)
		return -1;
	while (used < size - 1) {
		ssize_t got = read(fd, text + used, size - 1 - used);

		if (got < 0)
			return -1;
		if (got == 0)
			break;
		used += (size_t)got;
	}
	text[used] = 0;
	return (ssize_t)used;
}

ssize_t file_read_line(const char *path, char *text, size_t size)
{
	ssize_t length = file_read(path, text, size);

	if (length > 0 && text[length - 1] == '\n')
		text[--length] = 0;
	return length;
}

char *file_load(const char *path, size_t most, size_t *length)
{
	/* O_NONBLOCK: the image may have put a fifo where a file is expected. */
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat stat;
	size_t used = 0, size;
	char *text;

	if (fd < 0 || fstat(fd, &stat) < 0)
		return NULL;
	if (!S_ISREG(stat.st_mode) || (uint64_t)stat.st_size > most) {
		errno = EINVAL;
		return NULL;
	}
	size = (size_t)stat.st_size;
	text = malloc(size + 1);
	if (!text)
		return NULL;
	while (used < size) {
		ssize_t got = read(fd, text + used, size - used);

		if (got <= 0)
			break;
		used += (size_t)got;
	}
	text[used] = 0;
	*length = used;
	return text;
}

int write_all(int fd, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length) {
		ssize_t written = write(fd, at, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -1;
		at += written;
		length -= (size_t)written;
	}
	return 0;
}

/* In place where a plain file is, which saves the journal most of its work. */
static int file_overwrite(const char *path, const char *text, size_t length)
{
	AUTO_FD fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) < 0)
		return -1;
	if (!S_ISREG(stat.st_mode) || stat.st_nlink != 1) {
		errno = ELOOP;
		return -1;
	}
	if (write_all(fd, text, length) < 0)
		return -1;
	return stat.st_size > (off_t)length ? ftruncate(fd, (off_t)length) : 0;
}

int file_replace(const char *path, const char *text, size_t length, mode_t mode)
{
	AUTO_FD fd = -1;

	if (file_overwrite(path, text, length) == 0)
		return 0;
	if (errno != ENOENT && unlink(path) < 0)
		return -1;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	return fd < 0 ? -1 : write_all(fd, text, length);
}

int make_directories(const char *path)
{
	char part[512];
	size_t length = strlen(path);
	struct stat stat_;

	if (mkdir(path, 0755) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -1;
	if (length >= sizeof part) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (size_t i = 1; i <= length; i++) {
		if (path[i] != '/' && path[i] != 0)
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -1;
	}
	return stat(path, &stat_);
}
