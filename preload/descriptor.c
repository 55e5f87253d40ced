/*
 * Opens what is open already: the path /banger/descriptor/N is a duplicate of descriptor N, whatever is asked for.
 *
 * QEMU before version 8.2 opens the file behind a guest's memory for reading and writing, also when it maps the file
 * privately and never writes to it; a file that cannot be opened so is refused. Preloaded into QEMU, this hands it the
 * descriptor for reading that it was started with. A later QEMU has no other way either: there is no /proc in its jail.
 * Without this library there is no such path, and QEMU does not start.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int open(const char *path, int flags, ...);
int open64(const char *path, int flags, ...);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);

static const char prefix[] = "/banger/descriptor/";

/* The number after the prefix; -1 for a path that is none of ours. */
static int descriptor_of(const char *path) {
	const char *digit = path + sizeof prefix - 1;
	int number = 0;

	if (strncmp(path, prefix, sizeof prefix - 1) != 0 || *digit == '\0')
		return -1;
	for (; *digit != '\0'; digit++) {
		if (*digit < '0' || *digit > '9' || number > 99999)
			return -1;
		number = number * 10 + (*digit - '0');
	}
	return number;
}

static int open_any(const char *path, int flags, int mode) {
	int number = descriptor_of(path);

	if (number >= 0)
		return fcntl(number, F_DUPFD_CLOEXEC, 0);
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

static int mode_of(int flags, va_list arguments) {
	int takes_mode = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;

	return takes_mode ? va_arg(arguments, int) : 0;
}

int open(const char *path, int flags, ...) {
	va_list arguments;
	int mode;

	va_start(arguments, flags);
	mode = mode_of(flags, arguments);
	va_end(arguments);
	return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
	va_list arguments;
	int mode;

	va_start(arguments, flags);
	mode = mode_of(flags, arguments);
	va_end(arguments);
	return open_any(path, flags, mode);
}

/* What the two are called where the compiler checks that a mode is given when one is needed. */
int __open_2(const char *path, int flags) {
	return open_any(path, flags, 0);
}

int __open64_2(const char *path, int flags) {
	return open_any(path, flags, 0);
}
