/* fsx FILE SEED STEPS: random reads, writes, mappings, truncations and holes of one file, through two descriptors, each
 * compared with the same in memory. Prints what it did last where a byte is not what it must be. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST = 300 * 1024, STEP_MOST = 40 * 1024, REMEMBERED = 40, PAGE = 4096, KEEP_SIZE = 1, PUNCH_HOLE = 2, ZERO_RANGE = 16 };

static const char *path;
static int files[2];
static uint8_t wanted[LONGEST], got[LONGEST];
static size_t length;
static uint64_t state;
static long step;
static char last[REMEMBERED][80];

static uint32_t any(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 33) % below;
}

static void note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(last[step % REMEMBERED], sizeof last[0], format, arguments);
	va_end(arguments);
}

static _Noreturn void fail(const char *what, long at)
{
	printf("step %ld: %s at %ld: %s\n", step, what, at, strerror(errno));
	for (long i = step < REMEMBERED ? 0 : step - REMEMBERED + 1; i <= step; i++)
		printf("%ld: %s\n", i, last[i % REMEMBERED]);
	exit(1);
}

static void check_range(const char *what, size_t at, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != wanted[at + i]) {
			errno = 0;
			printf("%02x instead of %02x\n", bytes[i], wanted[at + i]);
			fail(what, (long)(at + i));
		}
}

static void open_both(void)
{
	for (int i = 0; i < 2; i++)
		if ((files[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644)) < 0)
			fail("open", 0);
}

static int file(void)
{
	return files[any(2)];
}

static void any_range(size_t most, size_t *at, size_t *size)
{
	*at = any((uint32_t)most);
	*size = 1 + any(STEP_MOST);
	if (any(4) == 0) { /* whole pages */
		*at &= ~(size_t)(PAGE - 1);
		*size = (*size + PAGE - 1) & ~(size_t)(PAGE - 1);
	}
	if (*size > most - *at)
		*size = most - *at;
}

static void fill(size_t at, size_t size)
{
	if (at > length)
		memset(wanted + length, 0, at - length);
	for (size_t i = 0; i < size; i++)
		wanted[at + i] = (uint8_t)(1 + any(255));
	if (at + size > length)
		length = at + size;
}

static void do_write(void)
{
	size_t at, size;

	any_range(LONGEST, &at, &size);
	note("write %zu..%zu of %zu", at, at + size, length);
	fill(at, size);
	for (size_t done = 0; done < size;) {
		ssize_t written = pwrite(file(), wanted + at + done, size - done, (off_t)(at + done));

		if (written <= 0)
			fail("write", (long)at);
		done += (size_t)written;
	}
}

static void do_append(void)
{
	size_t size = 1 + any(5000), at = length;

	if (length + size > LONGEST)
		return;
	note("append %zu to %zu", size, length);
	int appender = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	fill(at, size);
	if (appender < 0 || write(appender, wanted + at, size) != (ssize_t)size || close(appender) != 0)
		fail("append", (long)at);
}

static void do_read(void)
{
	size_t at, size;

	any_range(LONGEST, &at, &size);
	note("read %zu..%zu of %zu", at, at + size, length);
	ssize_t result = pread(file(), got, size, (off_t)at);
	size_t there = at >= length ? 0 : length - at < size ? length - at : size;
	if (result != (ssize_t)there)
		fail("length of a read", (long)result);
	check_range("read", at, got, there);
}

static void do_map(bool writes)
{
	size_t at, size;

	if (!length)
		return;
	any_range(length, &at, &size);
	if (!size)
		return;
	note("map for %s %zu..%zu of %zu", writes ? "writing" : "reading", at, at + size, length);
	size_t start = at & ~(size_t)(PAGE - 1);
	uint8_t *map = mmap(NULL, at + size - start, writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, file(), (off_t)start);
	if (map == MAP_FAILED)
		fail("mmap", (long)at);
	check_range("mapped", at, map + (at - start), size);
	if (writes) {
		fill(at, size);
		memcpy(map + (at - start), wanted + at, size);
		if (any(2) && msync(map, at + size - start, MS_SYNC) != 0)
			fail("msync", (long)at);
	}
	munmap(map, at + size - start);
}

static void do_truncate(void)
{
	size_t to = any(3) ? any(LONGEST) : any(PAGE);

	note("truncate %zu to %zu", length, to);
	if (any(2) ? ftruncate(file(), (off_t)to) : truncate(path, (off_t)to))
		fail("truncate", (long)to);
	if (to > length)
		memset(wanted + length, 0, to - length);
	length = to;
}

static void do_zero(void)
{
	static const int KINDS[] = {PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE | KEEP_SIZE, ZERO_RANGE, 0};
	int kind = KINDS[any(4)];
	size_t at, size;

	any_range(LONGEST, &at, &size);
	if (!size)
		return;
	note("fallocate %d %zu..%zu of %zu", kind, at, at + size, length);
	if (fallocate(file(), kind, (off_t)at, (off_t)size) != 0) {
		if (errno != EOPNOTSUPP)
			fail("fallocate", (long)at);
		return;
	}
	if (kind && at < length)
		memset(wanted + at, 0, length - at < size ? length - at : size);
	if (!(kind & KEEP_SIZE) && at + size > length) {
		memset(wanted + length, 0, at + size - length);
		length = at + size;
	}
}

static void do_copy(void)
{
	size_t from, to, size;

	if (length < 2)
		return;
	any_range(length, &from, &size);
	to = any(LONGEST);
	if (to + size > LONGEST || (to < from + size && from < to + size))
		return;
	note("copy %zu..%zu to %zu of %zu", from, from + size, to, length);
	off_t in = (off_t)from, out = (off_t)to;
	for (size_t done = 0; done < size;) {
		ssize_t copied = copy_file_range(files[0], &in, files[1], &out, size - done, 0);

		if (copied <= 0)
			fail("copy_file_range", (long)copied);
		done += (size_t)copied;
	}
	if (to > length)
		memset(wanted + length, 0, to - length);
	memcpy(wanted + to, wanted + from, size);
	if (to + size > length)
		length = to + size;
}

static void do_sync_or_reopen(void)
{
	note("sync, and open again");
	if (any(2) && fsync(file()) != 0)
		fail("fsync", 0);
	close(files[0]), close(files[1]);
	open_both();
}

static void check_size(void)
{
	struct stat found;

	if (fstat(file(), &found) != 0 || (size_t)found.st_size != length)
		fail("size", (long)found.st_size);
	if (any(8) == 0 && (stat(path, &found) != 0 || (size_t)found.st_size != length))
		fail("size by name", (long)found.st_size);
}

static void do_something(void)
{
	switch (any(12)) {
	case 0: case 1: do_write(); break;
	case 2: do_append(); break;
	case 3: case 4: do_read(); break;
	case 5: do_map(false); break;
	case 6: case 7: do_map(true); break;
	case 8: do_truncate(); break;
	case 9: do_zero(); break;
	case 10: do_copy(); break;
	default: do_sync_or_reopen();
	}
	check_size();
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return fputs("usage: fsx FILE SEED STEPS\n", stderr), 2;
	path = argv[1];
	state = strtoull(argv[2], NULL, 10) * 2 + 1;
	unlink(path);
	open_both();
	for (step = 0; step < atol(argv[3]); step++)
		do_something();
	note("the end");
	ssize_t result = pread(files[0], got, LONGEST, 0);
	if (result != (ssize_t)length)
		fail("length at the end", (long)result);
	check_range("the end", 0, got, length);
	printf("%ld steps, %zu bytes\n", step, length);
	return 0;
}
