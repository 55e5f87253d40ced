/* Bytes: read, written, appended, mapped, and where there are none. */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef FALLOC_FL_KEEP_SIZE
#define FALLOC_FL_KEEP_SIZE 1
#define FALLOC_FL_PUNCH_HOLE 2
#define FALLOC_FL_COLLAPSE_RANGE 8
#define FALLOC_FL_ZERO_RANGE 16
#endif

static void tell_contents(const char *path)
{
	char bytes[64], what[64];
	int file = opened(path, O_RDONLY, 0);
	ssize_t length = read(file, bytes, sizeof bytes);

	for (ssize_t i = 0; i < length; i++)
		if (!bytes[i])
			bytes[i] = '0';
	snprintf(what, sizeof what, "contents of %.40s", path);
	fact(what, "%zd: %.*s", length, (int)(length < 0 ? 0 : length), bytes);
	close(file);
}

static void reading_and_writing(void)
{
	char bytes[16];
	struct iovec two[2] = {{"ab", 2}, {"cd", 2}}, into[2] = {{bytes, 3}, {bytes + 3, 3}};

	enter("read-write");
	make("file", "0123456789");
	int file = opened("file", O_RDWR, 0), reader = opened("file", O_RDONLY, 0), writer = opened("file", O_WRONLY, 0);
	int directory = opened(".", O_RDONLY, 0);
	TRY(write(reader, "x", 1));
	TRY(read(writer, bytes, 1));
	TRY(read(directory, bytes, 1));
	TRY(pread(file, bytes, 1, -1));
	TRY(pwrite(file, "x", 1, -1));
	fact("read beyond the end", "%zd", pread(file, bytes, 4, 100));
	fact("read across the end", "%zd", pread(file, bytes, 9, 8));
	TRY(write(file, "", 0));
	TRY(pwrite(file, "end", 3, 20));
	tell_contents("file");
	fact("writev", "%zd", writev(file, two, 2));
	tell_contents("file");
	fact("readv", "%zd", readv(file, into, 2));
	TRY(lseek(file, -1, SEEK_SET));
	fact("the end", "%ld", (long)lseek(file, 0, SEEK_END));
	TRY(lseek(file, -100, SEEK_END));
	TRY(fsync(reader));
	TRY(fdatasync(writer));
	TRY(fsync(directory));
	TRY(syncfs(directory));
	TRY(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED));
	TRY(readahead(file, 0, 100));
	int copy = opened("copy", O_CREAT | O_RDWR, 0644);
	off_t from = 2;
	fact("sendfile", "%zd", sendfile(copy, file, &from, 5));
	tell_contents("copy");
	off_t at = 0;
	from = 0;
	fact("copy_file_range", "%zd", copy_file_range(file, &from, copy, &at, 8, 0));
	tell_contents("copy");
	close(file), close(reader), close(writer), close(directory), close(copy);
	leave();
}

static void appending(void)
{
	enter("append");
	make("file", "start");
	int one = opened("file", O_WRONLY | O_APPEND, 0), two = opened("file", O_WRONLY | O_APPEND, 0), plain = opened("file", O_RDWR, 0);
	TRY(write(one, "-one", 4));
	TRY(write(two, "-two", 4));
	TRY(lseek(one, 0, SEEK_SET));
	TRY(write(one, "-end", 4));
	fact("its place", "%ld", (long)lseek(one, 0, SEEK_CUR));
	TRY(pwrite(one, "-pos", 4, 0));
	TRY(pwrite(plain, "S", 1, 0));
	tell_contents("file");
	TRY(ftruncate(plain, 3));
	TRY(write(two, "+", 1));
	tell_contents("file");
	TRY(fcntl(plain, F_SETFL, O_APPEND));
	TRY(write(plain, "=", 1));
	tell_contents("file");
	close(one), close(two), close(plain);
	leave();
}

static void holes(void)
{
	char bytes[8];

	enter("holes");
	int file = opened("file", O_CREAT | O_RDWR, 0644), reader = opened("file", O_RDONLY, 0);
	TRY(fallocate(file, 0, 0, 100));
	tell_file("file");
	TRY(fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 5000));
	tell_file("file");
	TRY(fallocate(file, 0, 0, 0));
	TRY(fallocate(file, 0, -1, 10));
	TRY(fallocate(file, 0, INT64_MAX, 1));
	TRY(fallocate(reader, 0, 0, 10));
	TRY(fallocate(file, FALLOC_FL_PUNCH_HOLE, 0, 10));
	TRY(pwrite(file, "0123456789", 10, 0));
	TRY(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
	TRY(pread(file, bytes, 6, 0));
	fact("read", "%d %c", bytes[3], bytes[5]);
	TRY(fallocate(file, FALLOC_FL_ZERO_RANGE, 95, 10));
	tell_file("file");
	TRY(fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
	TRY(lseek(file, 0, SEEK_DATA));
	TRY(lseek(file, 100000, SEEK_DATA));
	TRY(lseek(file, 100000, SEEK_HOLE));
	TRY(ftruncate(file, 1 << 20));
	fact("the last hole", "%d", lseek(file, (1 << 20) - 1, SEEK_HOLE) == (1 << 20) - 1);
	close(file), close(reader);
	leave();
}

static sigjmp_buf back;

static void on_bus(int number)
{
	(void)number;
	siglongjmp(back, 1);
}

static void mapping(void)
{
	char bytes[8] = "";

	enter("mmap");
	make("file", "0123456789");
	int file = opened("file", O_RDWR, 0), reader = opened("file", O_RDONLY, 0);
	char *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	char *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader, 0);
	TRY(shared == MAP_FAILED ? -1 : 0);
	TRY(private == MAP_FAILED ? -1 : 0);
	TRY(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, reader, 0) == MAP_FAILED ? -1 : 0);
	private[0] = 'p';
	shared[1] = 's';
	TRY(pread(reader, bytes, 4, 0));
	fact("read after a shared write", "%.4s", bytes);
	TRY(pwrite(file, "W", 1, 2));
	fact("mapped after a write", "%.4s", shared);
	TRY(msync(shared, 4096, MS_SYNC));
	signal(SIGBUS, on_bus);
	if (sigsetjmp(back, 1) == 0)
		fact("beyond the end", "%d", shared[5000]);
	else
		fact("beyond the end", "SIGBUS");
	TRY(unlink("file"));
	shared[3] = 'u';
	TRY(pread(reader, bytes, 4, 0));
	fact("without a name", "%.4s", bytes);
	TRY(munmap(shared, 8192));
	munmap(private, 4096);
	close(file), close(reader);
	leave();
}

static int in_child(int (*what)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(what() == 0 ? 0 : errno & 0x7f);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	errno = WEXITSTATUS(status);
	return errno ? -1 : 0;
}

static int try_flock(void)
{
	return flock(open("file", O_RDWR | O_CLOEXEC), LOCK_EX | LOCK_NB);
}

static int try_lock(void)
{
	struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1};

	return fcntl(open("file", O_RDWR | O_CLOEXEC), F_SETLK, &range);
}

static void locks(void)
{
	struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};

	enter("locks");
	make("file", "0123456789");
	int file = opened("file", O_RDWR, 0);
	TRY(flock(file, LOCK_EX | LOCK_NB));
	TRY(in_child(try_flock));
	TRY(flock(file, LOCK_UN));
	TRY(in_child(try_flock));
	TRY(fcntl(file, F_SETLK, &range));
	TRY(in_child(try_lock));
	close(opened("file", O_RDONLY, 0)); /* which ends the lock, as POSIX wants it */
	TRY(in_child(try_lock));
	close(file);
	leave();
}

static void running(void)
{
	enter("execute");
	int file = opened("script", O_CREAT | O_WRONLY, 0755);
	TRY(write(file, "#!/bin/sh\nexit 3\n", 17));
	close(file);
	int status = system("./script");
	fact("a script ends with", "%d", WEXITSTATUS(status));
	TRY(chmod("script", 0644));
	TRY(access("script", X_OK));
	leave();
}

void cases_of_contents(void)
{
	reading_and_writing();
	appending();
	holes();
	mapping();
	locks();
	running();
}
