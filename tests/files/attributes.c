/* Modes, owners, times and extended attributes. */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static void modes(void)
{
	enter("chmod");
	make("file", "x");
	mkdir("directory", 0755);
	symlink("file", "link");
	TRY(chmod("file", 0));
	tell_file("file");
	TRY(chmod("link", 0604));
	tell_file("file");
	TRY(chmod("directory", 01777));
	tell_file("directory");
	TRY(chmod("directory", 02755));
	tell_file("directory");
	TRY(mkdir("directory/inherits", 0755));
	tell_file("directory/inherits");
	TRY(chmod("directory", 04755));
	tell_file("directory");
	TRY(chmod("file", 06755));
	tell_file("file");
	TRY(chmod("file", 01644));
	tell_file("file");
	TRY(chmod("missing", 0600));
	TRY(chmod("file/below", 0600));
	int file = opened("file", O_RDONLY, 0);
	TRY(fchmod(file, 0400));
	tell_file("file");
	close(file);
	leave();
}

static void owners(void)
{
	enter("chown");
	make("file", "x");
	symlink("file", "link");
	TRY(chown("file", (uid_t)-1, (gid_t)-1));
	TRY(chown("file", geteuid(), getegid()));
	TRY(lchown("link", geteuid(), getegid()));
	TRY(chown("missing", geteuid(), getegid()));
	TRY(chown("file", 12345, (gid_t)-1));
	TRY(chown("file", (uid_t)-1, 12345));
	leave();
}

static void sizes(void)
{
	char byte = 1;

	enter("truncate");
	make("file", "0123456789");
	mkdir("directory", 0755);
	TRY(truncate("file", 4));
	tell_file("file");
	TRY(truncate("file", 8));
	int file = opened("file", O_RDONLY, 0);
	TRY(pread(file, &byte, 1, 6));
	fact("what grew", "%d", byte);
	TRY(ftruncate(file, 1));
	close(file);
	TRY(truncate("file", -1));
	TRY(truncate("directory", 0));
	TRY(truncate("missing", 0));
	TRY(truncate("file/below", 0));
	TRY(truncate("file", (off_t)5 << 30));
	tell_file("file");
	TRY(truncate("file", INT64_MAX));
	TRY(truncate("file", 0));
	leave();
}

static void tell_times(const char *path)
{
	struct stat found;
	char what[64];

	snprintf(what, sizeof what, "times of %.40s", path);
	if (lstat(path, &found) != 0)
		told(what, -1);
	else
		fact(what, "%ld.%09ld %ld.%09ld", (long)found.st_atim.tv_sec, found.st_atim.tv_nsec, (long)found.st_mtim.tv_sec,
		     found.st_mtim.tv_nsec);
}

static void times(void)
{
	const struct timespec exact[2] = {{1234567890, 123456789}, {987654321, 1}};
	const struct timespec early[2] = {{-1000, 5}, {-1, 999999999}}, late[2] = {{4000000000, 0}, {4000000000, 7}};
	const struct timespec omit[2] = {{0, UTIME_OMIT}, {5, 5}}, neither[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
	const struct timespec bad[2] = {{0, 1000000000}, {0, 0}}, present[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};

	enter("utimens");
	make("file", "x");
	symlink("file", "link");
	mkdir("directory", 0755);
	TRY(utimensat(AT_FDCWD, "file", exact, 0));
	tell_times("file");
	TRY(utimensat(AT_FDCWD, "file", early, 0));
	tell_times("file");
	TRY(utimensat(AT_FDCWD, "file", late, 0));
	tell_times("file");
	TRY(utimensat(AT_FDCWD, "file", omit, 0));
	tell_times("file");
	TRY(utimensat(AT_FDCWD, "file", neither, 0));
	tell_times("file");
	TRY(utimensat(AT_FDCWD, "file", bad, 0));
	TRY(utimensat(AT_FDCWD, "file", present, 0));
	TRY(utimensat(AT_FDCWD, "link", exact, AT_SYMLINK_NOFOLLOW));
	tell_times("link");
	TRY(utimensat(AT_FDCWD, "directory", exact, 0));
	tell_times("directory");
	TRY(utimensat(AT_FDCWD, "missing", exact, 0));
	int file = opened("file", O_RDONLY, 0);
	TRY(futimens(file, exact));
	tell_times("file");
	close(file);
	leave();
}

/* Longer than the kernel's clock of files takes to move on. */
static void let_time_pass(void)
{
	nanosleep(&(struct timespec){0, 30000000}, NULL);
}

static bool later(struct timespec before, struct timespec after)
{
	return after.tv_sec > before.tv_sec || (after.tv_sec == before.tv_sec && after.tv_nsec > before.tv_nsec);
}

#define CHANGES(path, call)                                                                                                  \
	do {                                                                                                                 \
		struct stat before_, after_;                                                                                 \
		lstat(path, &before_);                                                                                       \
		let_time_pass();                                                                                             \
		long result_ = (long)(call);                                                                                 \
		lstat(path, &after_);                                                                                        \
		fact(#call " changes " path, "%s, mtime %s, ctime %s", result_ < 0 ? "failed" : "ok",                        \
		     later(before_.st_mtim, after_.st_mtim) ? "later" : "same",                                              \
		     later(before_.st_ctim, after_.st_ctim) ? "later" : "same");                                             \
	} while (0)

static void marks_of_time(void)
{
	enter("times");
	make("file", "x");
	mkdir("d", 0755);
	int file = opened("file", O_RDWR, 0);
	CHANGES("file", pwrite(file, "y", 1, 0));
	CHANGES("file", ftruncate(file, 7));
	CHANGES("file", truncate("file", 7));
	CHANGES("file", chmod("file", 0600));
	CHANGES("file", link("file", "second"));
	CHANGES("file", unlink("second"));
	CHANGES("file", rename("file", "file"));
	CHANGES("file", setxattr("file", "user.a", "b", 1, 0));
	CHANGES("file", mkdir("file", 0755));
	CHANGES("d", mkdir("d/below", 0755));
	CHANGES("d", rmdir("d/below"));
	CHANGES("d", mknod("d/file", S_IFREG | 0600, 0));
	CHANGES("d", rename("d/file", "d/other"));
	CHANGES("d", link("d/other", "d/second"));
	CHANGES("d", symlink("x", "d/link"));
	CHANGES("d", truncate("d/other", 5));
	CHANGES("d", rename("d/other", "moved"));
	CHANGES("d", unlink("d/second"));
	CHANGES("moved", truncate("moved", 0));
	close(file);
	leave();
}

static void extended(void)
{
	static char large[70000], name[300];
	char value[32], names[256];

	enter("xattr");
	make("file", "x");
	mkdir("directory", 0755);
	symlink("file", "link");
	TRY(setxattr("file", "user.a", "value", 5, 0));
	fact("its length", "%zd", getxattr("file", "user.a", NULL, 0));
	fact("read", "%zd", getxattr("file", "user.a", value, sizeof value));
	TRY(getxattr("file", "user.a", value, 2));
	TRY(getxattr("file", "user.missing", value, sizeof value));
	TRY(setxattr("file", "user.a", "again", 5, XATTR_CREATE));
	TRY(setxattr("file", "user.b", "new", 3, XATTR_REPLACE));
	TRY(setxattr("file", "user.b", "new", 3, XATTR_CREATE));
	TRY(setxattr("file", "user.a", "", 0, XATTR_REPLACE));
	fact("an empty one", "%zd", getxattr("file", "user.a", value, sizeof value));
	fact("list", "%zd", listxattr("file", names, sizeof names));
	TRY(listxattr("file", names, 3));
	TRY(removexattr("file", "user.a"));
	TRY(removexattr("file", "user.a"));
	TRY(setxattr("file", "user.", "x", 1, 0));
	TRY(setxattr("file", "nonsense", "x", 1, 0));
	memset(name, 'n', 299);
	memcpy(name, "user.", 5);
	TRY(setxattr("file", name, "x", 1, 0));
	name[255] = 0;
	TRY(setxattr("file", name, "x", 1, 0));
	TRY(setxattr("file", "user.large", large, 65537, 0));
	TRY(setxattr("directory", "user.d", "x", 1, 0));
	TRY(lsetxattr("link", "user.l", "x", 1, 0));
	fact("list of a link", "%zd", llistxattr("link", names, sizeof names));
	TRY(setxattr("missing", "user.a", "x", 1, 0));
	int file = opened("file", O_RDONLY, 0);
	TRY(fsetxattr(file, "user.f", "x", 1, 0));
	close(file);
	TRY(setxattr("file", "trusted.t", "x", 1, 0));
	TRY(setxattr("file", "security.s", "x", 1, 0));
	static const char ACCESS[] = "\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x04\0\x04\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff";
	TRY(setxattr("file", "system.posix_acl_access", ACCESS, sizeof ACCESS - 1, 0));
	leave();
}

static void space(void)
{
	struct statvfs found;

	about("statvfs");
	TRY(statvfs(".", &found));
	fact("longest name", "%lu", found.f_namemax);
	fact("has sizes", "%d", found.f_blocks > 0 && found.f_bfree <= found.f_blocks && found.f_frsize > 0);
}

/* As a user who is not root, where that can be. */
static void rights(void)
{
	enter("rights");
	make("closed", "x");
	make("readable", "x");
	mkdir("locked", 0755);
	make("locked/file", "x");
	mkdir("no-search", 0755);
	make("no-search/file", "x");
	mkdir("open", 0755);
	if (chmod("closed", 0) || chmod("readable", 0444) || chmod("locked", 0555) || chmod("no-search", 0444) || chmod("open", 0777))
		return;
	if (geteuid() == 0 && seteuid(65534) != 0)
		return;
	TRY(access("closed", R_OK));
	TRY(open("closed", O_RDONLY | O_CLOEXEC));
	TRY(open("readable", O_WRONLY | O_CLOEXEC));
	TRY(truncate("readable", 0));
	TRY(mkdir("locked/new", 0755));
	TRY(unlink("locked/file"));
	TRY(rename("locked/file", "open/file"));
	TRY(link("readable", "locked/link"));
	TRY(symlink("x", "locked/link"));
	TRY(open("no-search/file", O_RDONLY | O_CLOEXEC));
	TRY(open("locked/file", O_RDONLY | O_CLOEXEC));
	TRY(rename("open", "locked/open"));
	TRY(setxattr("readable", "user.a", "x", 1, 0));
	TRY(utimensat(AT_FDCWD, "readable", NULL, 0));
	TRY(chown("readable", 0, 0));
	if (getuid() == 0) {
		TRY(chmod("readable", 0666));
		TRY(mkdir("open/mine", 0700));
		if (seteuid(0) != 0)
			return;
	}
	leave();
}

void cases_of_attributes(void)
{
	modes();
	owners();
	sizes();
	times();
	marks_of_time();
	extended();
	space();
	rights();
}
