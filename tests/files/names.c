/* Names: made, found, linked and removed. */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

static char longest[256], too_long[257];

/* The descriptor is not needed: only whether there is one. */
static int open_close(const char *path, int flags, mode_t mode)
{
	int descriptor = open(path, flags | O_CLOEXEC, mode);

	if (descriptor >= 0)
		close(descriptor);
	return descriptor;
}

static void opening(void)
{
	enter("open");
	make("file", "contents");
	mkdir("directory", 0755);
	symlink("file", "link");
	symlink("missing", "dangling");
	symlink("loop", "loop");
	TRY(open_close("new", O_CREAT | O_WRONLY, 0666));
	tell_file("new");
	TRY(open_close("exclusive", O_CREAT | O_EXCL | O_WRONLY, 0600));
	TRY(open_close("exclusive", O_CREAT | O_EXCL | O_WRONLY, 0600));
	TRY(open_close("link", O_CREAT | O_EXCL | O_WRONLY, 0600));
	TRY(open_close("dangling", O_CREAT | O_EXCL | O_WRONLY, 0600));
	TRY(open_close("dangling", O_RDONLY, 0));
	TRY(open_close("dangling", O_CREAT | O_WRONLY, 0640));
	tell_file("missing");
	TRY(open_close("link", O_RDONLY | O_NOFOLLOW, 0));
	TRY(open_close("loop", O_RDONLY, 0));
	TRY(open_close("file", O_RDONLY | O_DIRECTORY, 0));
	TRY(open_close("file/", O_RDONLY, 0));
	TRY(open_close("new-one/", O_CREAT | O_WRONLY, 0644));
	TRY(open_close("file/below", O_RDONLY, 0));
	TRY(open_close("file/below", O_CREAT | O_WRONLY, 0644));
	TRY(open_close("nothing", O_RDONLY, 0));
	TRY(open_close("nothing/below", O_CREAT | O_WRONLY, 0644));
	TRY(open_close("directory", O_WRONLY, 0));
	TRY(open_close("directory", O_RDWR, 0));
	TRY(open_close("directory", O_RDONLY | O_TRUNC, 0));
	TRY(open_close("directory", O_CREAT | O_RDONLY, 0644));
	TRY(open_close("directory", O_RDONLY, 0));
	TRY(open_close("", O_RDONLY, 0));
	TRY(open_close(longest, O_CREAT | O_WRONLY, 0644));
	TRY(open_close(longest, O_RDONLY, 0));
	TRY(open_close(too_long, O_CREAT | O_WRONLY, 0644));
	TRY(open_close(too_long, O_RDONLY, 0));
	TRY(open_close("bytes-\xff\xfe\n\t", O_CREAT | O_WRONLY, 0644));
	TRY(open_close("file", O_WRONLY | O_TRUNC, 0));
	tell_file("file");
	TRY(open_close("file", O_RDONLY | O_SYNC | O_NOATIME | O_NONBLOCK, 0));
	TRY(open_close(".", O_TMPFILE | O_RDWR, 0600));
	TRY(open_close("never-written", O_CREAT | O_RDWR, 0444));
	tell_file("never-written");
	leave();
}

static void links(void)
{
	enter("link");
	make("file", "contents");
	mkdir("directory", 0755);
	symlink("file", "link");
	symlink("missing", "dangling");
	TRY(link("file", "second"));
	tell_file("file");
	TRY(link("file", "second"));
	TRY(link("file", "directory"));
	TRY(link("directory", "other-directory"));
	TRY(link("missing", "third"));
	TRY(link("file", "missing/third"));
	TRY(link("file/", "third"));
	TRY(link("file", too_long));
	TRY(link("file", longest));
	TRY(link("link", "link-again"));
	tell_file("link-again");
	TRY(linkat(AT_FDCWD, "link", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	tell_file("followed");
	TRY(linkat(AT_FDCWD, "dangling", AT_FDCWD, "nowhere", AT_SYMLINK_FOLLOW));
	TRY(unlink("second"));
	tell_file("file");
	TRY(unlink("file"));
	tell_file(longest);
	tell_file("followed");
	TRY(link("followed", "file"));
	TRY(unlink("followed"));
	tell_file("file");
	TRY(open_close("file", O_RDWR, 0));
	TRY(link("file", "/proc/file"));
	leave();
}

static void symbolic_links(void)
{
	static char target[4097];
	char read[8];

	enter("symlink");
	make("file", "contents");
	memset(target, 't', 4096);
	TRY(symlink("anything at all", "link"));
	tell_file("link");
	TRY(symlink("x", "link"));
	TRY(symlink("x", "file"));
	TRY(symlink("", "empty"));
	TRY(symlink(target, "4096"));
	target[4095] = 0;
	TRY(symlink(target, "4095"));
	tell_file("4095");
	TRY(symlink("x", too_long));
	TRY(symlink("x", "missing/link"));
	fact("readlink in a small buffer", "%zd", readlink("link", read, sizeof read));
	TRY(readlink("file", read, sizeof read));
	TRY(readlink(".", read, sizeof read));
	TRY(readlink("missing", read, sizeof read));
	TRY(chmod("link", 0600));
	TRY(unlink("link"));
	TRY(unlink("link"));
	leave();
}

static void removals(void)
{
	enter("unlink");
	make("file", "contents");
	mkdir("directory", 0755);
	mkdir("full", 0755);
	make("full/file", "x");
	symlink("directory", "link");
	TRY(unlink("directory"));
	TRY(unlink("file/"));
	TRY(unlink("file/below"));
	TRY(unlink("missing"));
	TRY(unlink(too_long));
	TRY(unlink("."));
	TRY(rmdir("file"));
	TRY(rmdir("full"));
	TRY(rmdir("link"));
	TRY(rmdir("link/"));
	TRY(rmdir("."));
	TRY(rmdir("full/.."));
	TRY(rmdir("missing"));
	TRY(rmdir(too_long));
	TRY(rmdir("directory/"));
	TRY(unlink("full/file"));
	TRY(rmdir("full"));
	TRY(unlink("link"));
	TRY(unlink("file"));
	TRY(unlink("file"));
	leave();
}

static void making_directories(void)
{
	enter("mkdir");
	make("file", "x");
	symlink("missing", "dangling");
	TRY(mkdir("one", 0755));
	TRY(mkdir("one", 0755));
	TRY(mkdir("file", 0755));
	TRY(mkdir("dangling", 0755));
	TRY(mkdir("file/below", 0755));
	TRY(mkdir("missing/below", 0755));
	TRY(mkdir("slash/", 0777));
	tell_file("slash");
	TRY(mkdir("sticky", 01777));
	tell_file("sticky");
	TRY(mkdir(longest, 0700));
	TRY(mkdir(too_long, 0700));
	TRY(mkdir(".", 0700));
	TRY(mkdir("", 0700));
	umask(077);
	TRY(mkdir("masked", 0777));
	tell_file("masked");
	umask(022);
	leave();
}

static int bind_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	int result = bind(descriptor, (struct sockaddr *)&address, sizeof address), failure = errno;
	close(descriptor);
	errno = failure;
	return result;
}

static void other_kinds(void)
{
	enter("mknod");
	TRY(mknod("file", S_IFREG | 0600, 0));
	tell_file("file");
	TRY(mknod("file", S_IFREG | 0600, 0));
	TRY(mkfifo("pipe", 0600));
	TRY(mknod("null", S_IFCHR | 0600, makedev(1, 3)));
	TRY(bind_at("socket"));
	leave();
}

/* Directories in one another, further down than one path can say. */
static void depth(void)
{
	char name[201];
	int made = 0;

	enter("depth");
	memset(name, 'd', 200);
	name[200] = 0;
	int top = opened(".", O_RDONLY | O_DIRECTORY, 0);
	while (made < 15 && mkdir(name, 0755) == 0 && chdir(name) == 0)
		made++;
	fact("15 directories of 200 bytes", "%d", made);
	TRY(open_close("file", O_CREAT | O_WRONLY, 0644));
	while (made < 30 && mkdir(name, 0755) == 0 && chdir(name) == 0)
		made++;
	fact("30 directories of 200 bytes", made == 30 ? "all" : "fewer");
	if (fchdir(top) != 0)
		return;
	close(top);
	leave();
}

void cases_of_names(void)
{
	memset(longest, 'n', 255);
	memset(too_long, 'n', 256);
	opening();
	links();
	symbolic_links();
	removals();
	making_directories();
	other_kinds();
	depth();
}
