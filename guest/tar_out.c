/* tar-out: writes a tree as a tar archive. Links are stored, never followed, below the path; at the path
 * itself too, unless it is asked for. */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include <linux/magic.h>

#include "applet.h"
#include "fd.h"
#include "files.h"
#include "tar.h"
#include "tar_xattr.h"

enum {
	LINK_BUCKETS = 1024,
	LINK_TARGET_MAX = 65536,
	CHUNK = 262144,
	DIRECT_UNIT = 4096,
	UNTOLD_MAX = 4 << 20,
	STRETCHES_MAX = 10000,
	LINE_MAX_BYTES = 42, /* of the map: two numbers */
};

/* Of a file with holes: where there is data. */
struct stretch {
	int64_t offset, length;
};

/* A file with several names: the first is stored, the others refer to it. */
struct known {
	struct known *next;
	dev_t device;
	ino_t inode;
	char name[];
};

static struct known *known[LINK_BUCKETS];
static char path[TAR_PATH_SIZE]; /* the name in the archive of what is being written */
static char pax[TAR_EXTENSION_MAX]; /* as much as tar-in takes: what is said of the entry that comes */
static size_t pax_used;
static _Alignas(DIRECT_UNIT) uint8_t chunks[2][CHUNK];
static uint8_t *chunk = chunks[0]; /* the one that may be written to */
static bool emitted;
static int failed; /* the errno of the first failure, 0 without one */

static void complain(const char *name, int number)
{
	char line[512];
	int length = snprintf(line, sizeof line, "tar-out: %.400s: %s\n", name, strerror(number));

	failed = failed ? failed : number ? number : EIO;
	if (write_all(2, line, (size_t)length) < 0)
		return;
}

/* Nothing can be put right once the reader is gone. */
static void emit(const void *bytes, size_t length)
{
	emitted = true;
	if (write_all(1, bytes, length) < 0)
		_exit(1);
}

/* Lends a whole chunk to the pipe, in place of a copy. Once the pipe has all of it, nothing of the other chunk is left in
 * there, for a pipe holds no more than a chunk: that one is written to from then on. False: nothing is lent. */
static bool lend(void)
{
	struct iovec rest = { chunk, CHUNK };

	if (fcntl(1, F_GETPIPE_SZ) > CHUNK)
		return false;
	while (rest.iov_len) {
		ssize_t lent = vmsplice(1, &rest, 1, 0);

		if (lent < 0 && errno == EINTR)
			continue;
		if (lent <= 0 && rest.iov_len == CHUNK)
			return false;
		if (lent <= 0)
			_exit(1); /* as emit() */
		rest.iov_base = (uint8_t *)rest.iov_base + lent;
		rest.iov_len -= (size_t)lent;
	}
	emitted = true;
	chunk = chunks[chunk == chunks[0]];
	return true;
}

static void pad(uint64_t size)
{
	static const uint8_t zeros[TAR_BLOCK];

	if (size % TAR_BLOCK)
		emit(zeros, TAR_BLOCK - size % TAR_BLOCK);
}

static void emit_pax(const char *records, size_t length)
{
	struct tar_header header = { .type = 'x' };

	snprintf(header.name, sizeof header.name, "@PaxHeader");
	tar_put_number(header.mode, sizeof header.mode, 0600);
	tar_put_number(header.uid, sizeof header.uid, 0);
	tar_put_number(header.gid, sizeof header.gid, 0);
	tar_put_number(header.size, sizeof header.size, (int64_t)length);
	tar_put_number(header.mtime, sizeof header.mtime, 0);
	tar_seal(&header);
	emit(&header, sizeof header);
	emit(records, length);
	pad(length);
}

static void set_text(char *field, size_t size, const char *key, const char *text, size_t *used)
{
	size_t length = strlen(text);

	memcpy(field, text, length < size ? length : size);
	if (length > size)
		tar_put_record(pax, sizeof pax, used, key, text, length);
}

static void set_number(char *field, size_t size, const char *key, int64_t value, size_t *used)
{
	char text[24];

	if (tar_put_number(field, size, value))
		return;
	tar_put_number(field, size, 0);
	snprintf(text, sizeof text, "%lld", (long long)value);
	tar_put_record(pax, sizeof pax, used, key, text, strlen(text));
}

static void set_time(char *field, size_t size, struct timespec time, size_t *used)
{
	bool negative = time.tv_sec < 0;
	uint64_t seconds = negative ? 0 - (uint64_t)time.tv_sec : (uint64_t)time.tv_sec;
	long nanoseconds = time.tv_nsec;
	char text[40];

	if (!tar_put_number(field, size, time.tv_sec))
		tar_put_number(field, size, 0);
	else if (!nanoseconds)
		return;
	if (negative && nanoseconds) {
		/* The fraction counts from the second before; written it counts away from zero. */
		seconds--;
		nanoseconds = 1000000000 - nanoseconds;
	}
	snprintf(text, sizeof text, "%s%llu.%09ld", negative ? "-" : "", (unsigned long long)seconds,
		 nanoseconds);
	tar_put_record(pax, sizeof pax, used, "mtime", text, strlen(text));
}

/* fd: of what may have extended attributes; -1: it has none. */
static void emit_header(char type, const struct stat *stat, const char *link, int64_t size, int fd)
{
	struct tar_header header = { .type = type };

	set_text(header.name, sizeof header.name, "path", path, &pax_used);
	set_text(header.link, sizeof header.link, "linkpath", link, &pax_used);
	tar_put_number(header.mode, sizeof header.mode, stat->st_mode & 07777);
	set_number(header.uid, sizeof header.uid, "uid", (int64_t)stat->st_uid, &pax_used);
	set_number(header.gid, sizeof header.gid, "gid", (int64_t)stat->st_gid, &pax_used);
	set_number(header.size, sizeof header.size, "size", size, &pax_used);
	set_time(header.mtime, sizeof header.mtime, stat->st_mtim, &pax_used);
	if (type == '3' || type == '4') {
		tar_put_number(header.major, sizeof header.major, (int64_t)major(stat->st_rdev));
		tar_put_number(header.minor, sizeof header.minor, (int64_t)minor(stat->st_rdev));
	}
	if (fd >= 0 && tar_xattr_put(fd, pax, sizeof pax, &pax_used) < 0)
		complain(path, errno);
	if (pax_used)
		emit_pax(pax, pax_used);
	pax_used = 0;
	tar_seal(&header);
	emit(&header, sizeof header);
}

/* The name under which the file was stored before; remembers it if it was not. */
static const char *earlier_name(const struct stat *stat)
{
	struct known **bucket = &known[stat->st_ino % LINK_BUCKETS], *entry;
	size_t size = strlen(path) + 1;

	if (stat->st_nlink < 2)
		return NULL;
	for (entry = *bucket; entry; entry = entry->next)
		if (entry->inode == stat->st_ino && entry->device == stat->st_dev)
			return entry->name;
	entry = malloc(sizeof *entry + size);
	if (!entry)
		return NULL; /* then it is stored once more */
	entry->inode = stat->st_ino;
	entry->device = stat->st_dev;
	memcpy(entry->name, path, size);
	entry->next = *bucket;
	*bucket = entry;
	return NULL;
}

/* Past the kernel's cache of files where that is possible, for to fill the cache costs a machine without hardware support
 * more than to read. */
static ssize_t read_chunk(int fd, size_t want)
{
	bool direct = want == CHUNK && lseek(fd, 0, SEEK_CUR) % DIRECT_UNIT == 0 && fcntl(fd, F_SETFL, O_DIRECT) == 0;
	ssize_t got = read(fd, chunk, want);

	if (direct)
		fcntl(fd, F_SETFL, 0);
	return direct && got < 0 ? read(fd, chunk, want) : got;
}

/* Exactly as many bytes as the header said, whatever happens to the file meanwhile. */
static void emit_stretch(int fd, int64_t left)
{
	while (left > 0) {
		size_t want = left < CHUNK ? (size_t)left : CHUNK;
		ssize_t got = read_chunk(fd, want);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			complain(path, got ? errno : EIO);
			memset(chunk, 0, want);
			got = (ssize_t)want;
		}
		if (got != CHUNK || !lend())
			emit(chunk, (size_t)got);
		left -= got;
	}
}

/* Returns their number; 0: it has no holes, or none that can be found. */
static size_t find_stretches(int fd, int64_t size, struct stretch *found)
{
	size_t count = 0;
	int64_t end = 0;

	while (end < size) {
		int64_t start = lseek(fd, end, SEEK_DATA);

		if (start < 0 && errno != ENXIO)
			return 0;
		if (start < 0 || start >= size)
			break;
		end = lseek(fd, start, SEEK_HOLE);
		if (end <= start || end > size || count + 1 == STRETCHES_MAX)
			end = size;
		found[count++] = (struct stretch){ start, end - start };
	}
	if (count == 1 && found[0].length == size)
		return 0;
	/* One without data gives the length of the file, as in GNU tar. */
	found[count++] = (struct stretch){ size, 0 };
	return count;
}

/* The map in front of the data, as GNU tar's manual has it in "PAX Format, Version 1.0". Returns its length. */
static size_t write_map(char *map, const struct stretch *found, size_t count)
{
	size_t length = (size_t)sprintf(map, "%zu\n", count);

	for (size_t i = 0; i < count; i++)
		length += (size_t)sprintf(map + length, "%lld\n%lld\n", (long long)found[i].offset,
					  (long long)found[i].length);
	return length;
}

static void set_sparse(int64_t size)
{
	char text[24];
	int length = snprintf(text, sizeof text, "%lld", (long long)size);

	tar_put_record(pax, sizeof pax, &pax_used, "GNU.sparse.major", "1", 1);
	tar_put_record(pax, sizeof pax, &pax_used, "GNU.sparse.minor", "0", 1);
	tar_put_record(pax, sizeof pax, &pax_used, "GNU.sparse.name", path, strlen(path));
	tar_put_record(pax, sizeof pax, &pax_used, "GNU.sparse.realsize", text, (size_t)length);
}

static void emit_mapped(int fd, const struct stat *stat, const struct stretch *found, size_t count, char *map)
{
	size_t length = write_map(map, found, count);
	int64_t stored = 0;

	for (size_t i = 0; i < count; i++)
		stored += found[i].length;
	set_sparse(stat->st_size);
	emit_header('0', stat, "", (int64_t)((length + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK) + stored, fd);
	emit(map, length);
	pad(length);
	for (size_t i = 0; i < count; i++) {
		lseek(fd, found[i].offset, SEEK_SET);
		emit_stretch(fd, found[i].length);
	}
	pad((uint64_t)stored);
}

/* False: it has no holes, and nothing is written of it. */
static bool emit_sparse(int fd, const struct stat *stat)
{
	struct stretch *found = NULL;
	char *map = NULL;
	size_t count = 0;

	if (stat->st_blocks * 512 >= stat->st_size)
		return false;
	found = malloc((STRETCHES_MAX + 1) * sizeof *found);
	map = malloc((STRETCHES_MAX + 2) * LINE_MAX_BYTES);
	if (found && map)
		count = find_stretches(fd, stat->st_size, found);
	if (count)
		emit_mapped(fd, stat, found, count, map);
	else
		lseek(fd, 0, SEEK_SET);
	free(found);
	free(map);
	return count > 0;
}

/* Kernel interfaces mounted below the tree are no files of it, and some never end. */
static bool is_kernel_tree(int fd)
{
	struct statfs stat;

	if (fstatfs(fd, &stat) < 0)
		return false;
	switch ((unsigned long)stat.f_type) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case DEVPTS_SUPER_MAGIC:
		return true;
	}
	return false;
}

/* The kernel's own files do not say how long they are: read first, then tell. */
static void emit_untold(int fd, struct stat *stat)
{
	char *contents = malloc(UNTOLD_MAX);
	size_t length = 0;
	ssize_t got = contents ? 1 : -1;

	while (got > 0 && length < UNTOLD_MAX) {
		got = read(fd, contents + length, UNTOLD_MAX - length);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got > 0)
			length += (size_t)got;
	}
	if (got != 0) {
		complain(path, got < 0 ? errno : EFBIG);
	} else {
		emit_header('0', stat, "", (int64_t)length, -1);
		emit(contents, length);
		pad(length);
	}
	free(contents);
}

static void emit_file(int directory, const char *leaf)
{
	/* O_NONBLOCK: should a fifo have taken the file's place, opening it must not wait. */
	AUTO_FD fd = openat(directory, leaf,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat stat;
	const char *earlier;

	if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode)) {
		complain(path, fd < 0 ? errno : EINVAL);
		return;
	}
	earlier = earlier_name(&stat);
	if (earlier) {
		emit_header('1', &stat, earlier, 0, -1);
		return;
	}
	if (is_kernel_tree(fd)) {
		emit_untold(fd, &stat);
		return;
	}
	if (emit_sparse(fd, &stat))
		return;
	emit_header('0', &stat, "", stat.st_size, fd);
	emit_stretch(fd, stat.st_size);
	pad((uint64_t)stat.st_size);
}

static void emit_link(int directory, const char *leaf, const struct stat *stat)
{
	static char target[LINK_TARGET_MAX];
	ssize_t length = readlinkat(directory, leaf, target, sizeof target - 1);

	if (length < 0) {
		complain(path, errno);
		return;
	}
	target[length] = 0;
	emit_header('2', stat, target, 0, -1);
}

static void emit_entry(int directory, const char *leaf, size_t length, int depth);

static void emit_directory(int parent, const char *leaf, const struct stat *stat, size_t length,
			   int depth)
{
	int fd = openat(parent, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!directory || depth + 1 == TAR_DEPTH_MAX || length + 2 > sizeof path) {
		complain(path, directory ? ENAMETOOLONG : errno);
		if (directory)
			closedir(directory);
		else
			fd_close(&fd);
		return;
	}
	path[length++] = '/';
	path[length] = 0;
	emit_header('5', stat, "", 0, fd);
	while (!(depth && is_kernel_tree(fd)) && (errno = 0, entry = readdir(directory))) {
		size_t name = strlen(entry->d_name);

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (length + name + 1 > sizeof path) {
			complain(path, ENAMETOOLONG);
			continue;
		}
		memcpy(path + length, entry->d_name, name + 1);
		emit_entry(fd, entry->d_name, length + name, depth + 1);
		path[length] = 0;
	}
	if (errno)
		complain(path, errno);
	closedir(directory);
}

static void emit_entry(int directory, const char *leaf, size_t length, int depth)
{
	struct stat stat;

	if (fstatat(directory, leaf, &stat, AT_SYMLINK_NOFOLLOW) < 0) {
		complain(path, errno);
		return;
	}
	switch (stat.st_mode & S_IFMT) {
	case S_IFREG: emit_file(directory, leaf); break;
	case S_IFDIR: emit_directory(directory, leaf, &stat, length, depth); break;
	case S_IFLNK: emit_link(directory, leaf, &stat); break;
	case S_IFCHR: emit_header('3', &stat, "", 0, -1); break;
	case S_IFBLK: emit_header('4', &stat, "", 0, -1); break;
	case S_IFIFO: emit_header('6', &stat, "", 0, -1); break;
	default: break; /* a socket means nothing without its process */
	}
}

/* Splits an argument into the directory to start from and the name in it. */
static void emit_argument(char *argument)
{
	size_t length = strlen(argument);
	bool follow = length > 1 && argument[length - 1] == '/';
	const char *leaf;
	AUTO_FD directory = -1;
	char *slash;

	while (length > 1 && argument[length - 1] == '/')
		argument[--length] = 0;
	slash = strrchr(argument, '/');
	leaf = slash ? slash + 1 : argument;
	if (follow || !*leaf || strcmp(leaf, "..") == 0) {
		/* "link/" means what the link points to; "/" and ".." have no name to be stored by. */
		directory = open(argument, O_PATH | O_DIRECTORY | O_CLOEXEC);
		leaf = follow && *leaf && strcmp(leaf, "..") != 0 ? leaf : ".";
	} else if (slash) {
		*slash = 0;
		directory = open(slash == argument ? "/" : argument, O_PATH | O_DIRECTORY | O_CLOEXEC);
		*slash = '/';
		follow = false;
	} else {
		directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (directory < 0 || strlen(leaf) >= sizeof path) {
		complain(argument, directory < 0 ? errno : ENAMETOOLONG);
		return;
	}
	strcpy(path, leaf);
	emit_entry(directory, follow ? "." : leaf, strlen(leaf), 0);
}

/* What the path leads to, by the name that the path has. */
static void emit_followed(const char *argument)
{
	char real[PATH_MAX];
	size_t length = strlen(argument);
	const char *leaf;
	char *slash;
	AUTO_FD directory = -1;

	while (length > 1 && argument[length - 1] == '/')
		length--;
	leaf = memrchr(argument, '/', length);
	leaf = leaf ? leaf + 1 : argument;
	length -= (size_t)(leaf - argument);
	if (!realpath(argument, real) || length >= sizeof path) {
		complain(argument, length >= sizeof path ? ENAMETOOLONG : errno);
		return;
	}
	slash = strrchr(real, '/');
	directory = slash == real ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (slash != real) {
		*slash = 0;
		directory = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (directory < 0) {
		complain(argument, errno);
		return;
	}
	memcpy(path, leaf, length);
	path[length] = 0;
	if (!length || strcmp(path, "..") == 0)
		strcpy(path, ".");
	emit_entry(directory, slash[1] ? slash + 1 : ".", strlen(path), 0);
}

int tar_out(int argc, char **argv)
{
	static const uint8_t end[2 * TAR_BLOCK];
	int first = 0;
	bool follow = first < argc && strcmp(argv[first], "--follow") == 0;

	first += follow;
	first += first < argc && strcmp(argv[first], "--") == 0;
	if (argc - first < 1) {
		complain("usage: tar-out [--follow] [--] PATH...", EINVAL);
		return 2;
	}
	for (int i = first; i < argc; i++) {
		if (follow)
			emit_followed(argv[i]);
		else
			emit_argument(argv[i]);
	}
	/* No archive at all, rather than an empty one, of what is not there. */
	if (!emitted && failed)
		return path_failure(failed);
	emit(end, sizeof end);
	return failed != 0;
}
