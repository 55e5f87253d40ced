#include "files.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"

/* O_NONBLOCK: the image may have put a fifo where a file is expected. */
static int open_to_read(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static ssize_t read_text(int fd, char *text, size_t size)
{
	size_t used = 0;

	text[0] = 0;
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

ssize_t file_read(const char *path, char *text, size_t size)
{
	AUTO_FD fd = open_to_read(path);

	text[0] = 0;
	return fd < 0 ? -1 : read_text(fd, text, size);
}

ssize_t file_read_line(const char *path, char *text, size_t size)
{
	ssize_t length = file_read(path, text, size);

	if (length > 0 && text[length - 1] == '\n')
		text[--length] = 0;
	return length;
}

void file_each_line(const char *path, line_visit *visit, void *context)
{
	static char text[16384];
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t held = 0;

	while (fd >= 0) {
		ssize_t got = read(fd, text + held, sizeof text - 1 - held);
		char *line = text, *newline;

		if (got <= 0)
			return;
		held += (size_t)got;
		text[held] = 0;
		for (; (newline = strchr(line, '\n')); line = newline + 1) {
			*newline = 0;
			visit(line, context);
		}
		held -= (size_t)(line - text);
		memmove(text, line, held);
	}
}

static bool measure_plain(int fd, size_t most, size_t *size)
{
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) < 0)
		return false;
	*size = (size_t)stat.st_size;
	if (S_ISREG(stat.st_mode) && (uint64_t)stat.st_size <= most)
		return true;
	errno = EINVAL;
	return false;
}

ssize_t file_read_plain(const char *path, char *text, size_t size)
{
	AUTO_FD fd = open_to_read(path);
	size_t length;

	text[0] = 0;
	return measure_plain(fd, size - 1, &length) ? read_text(fd, text, size) : -1;
}

char *file_load(const char *path, size_t most, size_t *length)
{
	AUTO_FD fd = open_to_read(path);
	size_t size;
	ssize_t got;
	char *text;

	if (!measure_plain(fd, most, &size))
		return NULL;
	text = malloc(size + 1);
	if (!text)
		return NULL;
	got = read_text(fd, text, size + 1);
	*length = got < 0 ? 0 : (size_t)got;
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

static bool file_holds(int fd, const char *text, size_t length)
{
	char part[1024];

	while (length) {
		ssize_t got = read(fd, part, length < sizeof part ? length : sizeof part);

		if (got <= 0 || memcmp(part, text, (size_t)got) != 0)
			return false;
		text += got;
		length -= (size_t)got;
	}
	return true;
}

/* In place where a plain file is, which saves the journal most of its work. */
static int file_overwrite(const char *path, const char *text, size_t length)
{
	AUTO_FD fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) < 0)
		return -1;
	if (!S_ISREG(stat.st_mode) || stat.st_nlink != 1) {
		errno = ELOOP;
		return -1;
	}
	if (stat.st_size == (off_t)length && file_holds(fd, text, length))
		return 0;
	if (lseek(fd, 0, SEEK_SET) < 0 || write_all(fd, text, length) < 0)
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
