/* What is open: a file keeps all that it is when its name goes. */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static void without_a_name(void)
{
	char bytes[8] = "", path[64];
	struct stat found;

	enter("nameless");
	make("file", "0123456789");
	int file = opened("file", O_RDWR, 0), reader = opened("file", O_RDONLY, 0);
	TRY(unlink("file"));
	TRY(fstat(file, &found));
	fact("it has", "%lu names, %ld bytes", (unsigned long)found.st_nlink, (long)found.st_size);
	TRY(pwrite(file, "X", 1, 0));
	TRY(pread(reader, bytes, 3, 0));
	fact("read", "%.3s", bytes);
	TRY(ftruncate(file, 4));
	TRY(fstat(reader, &found));
	fact("it has", "%ld bytes", (long)found.st_size);
	TRY(fchmod(reader, 0600));
	TRY(futimens(reader, NULL));
	TRY(fchown(file, geteuid(), getegid()));
	TRY(fsetxattr(file, "user.a", "x", 1, 0));
	fact("its attribute", "%zd", fgetxattr(reader, "user.a", bytes, sizeof bytes));
	TRY(fremovexattr(reader, "user.a"));
	TRY(fallocate(file, 0, 0, 100));
	TRY(fsync(file));
	snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	int again = open(path, O_RDONLY | O_CLOEXEC);
	told("opened once more, for reading", again);
	fact("read", "%zd", pread(again, bytes, 3, 0));
	int written = open(path, O_WRONLY | O_CLOEXEC);
	told("opened once more, for writing", written);
	TRY(pwrite(written, "Y", 1, 0));
	TRY(open(path, O_RDWR | O_TRUNC | O_CLOEXEC));
	TRY(fstat(reader, &found));
	fact("it has", "%ld bytes", (long)found.st_size);
	TRY(truncate(path, 3));
	TRY(linkat(AT_FDCWD, path, AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
	make("file", "another");
	TRY(pwrite(file, "Z", 1, 0));
	tell_file("file");
	close(file), close(reader), close(again), close(written);
	leave();
}

/* The name that was seen last goes, and another stays. */
static void with_another_name(void)
{
	char bytes[8] = "";
	struct stat found;

	enter("another-name");
	make("one", "0123456789");
	int file = opened("one", O_RDWR, 0);
	TRY(link("one", "two"));
	TRY(unlink("two"));
	TRY(fsetxattr(file, "user.a", "x", 1, 0));
	TRY(fchmod(file, 0600));
	TRY(fstat(file, &found));
	fact("it has", "%lu names", (unsigned long)found.st_nlink);
	tell_file("one");
	TRY(link("one", "three"));
	TRY(unlink("one"));
	TRY(pread(file, bytes, 3, 0));
	tell_file("three");
	TRY(link("three", "one"));
	TRY(rename("one", "four"));
	TRY(unlink("three"));
	TRY(truncate("four", 2));
	tell_file("four");
	TRY(setxattr("four", "user.b", "x", 1, 0));
	close(file);
	leave();
}

static void modes_after_opening(void)
{
	enter("mode-after");
	int file = opened("file", O_CREAT | O_EXCL | O_RDWR, 0);
	TRY(write(file, "still", 5));
	TRY(ftruncate(file, 3));
	TRY(fchmod(file, 0200));
	TRY(fsync(file));
	TRY(fsetxattr(file, "user.a", "x", 1, 0));
	tell_file("file");
	close(file);
	leave();
}

void cases_of_open_files(void)
{
	without_a_name();
	with_another_name();
	modes_after_opening();
}
