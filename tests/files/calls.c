/* calls DIRECTORY: tries system calls of files in a directory, which it fills, and prints a line for each answer. */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *topic = "";

void about(const char *what)
{
	topic = what;
}

static const char *name_of_errno(int number)
{
	static const struct {
		int number;
		const char *name;
	} NAMES[] = {
#define E(name) {name, #name}
		E(EPERM), E(ENOENT), E(EIO), E(ENXIO), E(EBADF), E(EAGAIN), E(EACCES), E(EBUSY), E(EEXIST), E(EXDEV), E(ENODEV),
		E(ENOTDIR), E(EISDIR), E(EINVAL), E(ENFILE), E(EMFILE), E(ETXTBSY), E(EFBIG), E(ENOSPC), E(ESPIPE), E(EROFS),
		E(EMLINK), E(ERANGE), E(ENAMETOOLONG), E(ENOSYS), E(ENOTEMPTY), E(ELOOP), E(ENODATA), E(EOVERFLOW), E(EOPNOTSUPP),
		E(ESTALE), E(EDQUOT), E(E2BIG), E(EFAULT), E(EADDRINUSE), E(ENOTTY),
#undef E
	};

	for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
		if (NAMES[i].number == number)
			return NAMES[i].name;
	return strerror(number);
}

long told(const char *what, long result)
{
	printf("%s: %s: %s\n", topic, what, result < 0 ? name_of_errno(errno) : "ok");
	return result;
}

void fact(const char *what, const char *format, ...)
{
	va_list arguments;

	printf("%s: %s: ", topic, what);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

static _Noreturn void give_up(const char *what)
{
	printf("%s: cannot prepare: %s: %s\n", topic, what, strerror(errno));
	exit(1);
}

void enter(const char *name)
{
	about(name);
	if (mkdir(name, 0755) != 0 || chdir(name) != 0)
		give_up(name);
}

void leave(void)
{
	if (chdir("..") != 0)
		give_up("..");
}

int opened(const char *path, int flags, mode_t mode)
{
	int descriptor = open(path, flags | O_CLOEXEC, mode);

	if (descriptor < 0)
		give_up(path);
	return descriptor;
}

void make(const char *path, const char *contents)
{
	int descriptor = opened(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
	size_t length = strlen(contents);

	if (write(descriptor, contents, length) != (ssize_t)length || close(descriptor) != 0)
		give_up(path);
}

bool is_there(const char *path)
{
	struct stat found;

	return lstat(path, &found) == 0;
}

/* Kind, mode, names and size. Directories have neither the same number of names nor the same size everywhere. */
void tell_file(const char *path)
{
	struct stat found;
	char what[300];

	snprintf(what, sizeof what, "what is %.200s", path);
	if (lstat(path, &found) != 0)
		told(what, -1);
	else if (S_ISDIR(found.st_mode))
		fact(what, "a directory, %o", found.st_mode & 07777);
	else
		fact(what, "%s, %o, %lu names, %ld bytes", S_ISREG(found.st_mode) ? "a file" : S_ISLNK(found.st_mode) ? "a link" : "else",
		     found.st_mode & 07777, (unsigned long)found.st_nlink, (long)found.st_size);
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]) != 0) {
		fputs("usage: calls DIRECTORY\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	umask(022);
	cases_of_names();
	cases_of_renames();
	cases_of_attributes();
	cases_of_contents();
	cases_of_directories();
	cases_of_open_files();
	return 0;
}
