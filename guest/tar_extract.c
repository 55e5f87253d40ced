/* Every name is walked one component at a time, by descriptor, and no link is followed on the way. */

#include "tar_extract.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"
#include "files.h"
#include "tar.h"
#include "tar_made.h"

enum {
	CHUNK = 262144,
	/* So many zeros become a hole. */
	HOLE = 65536,
	/* What is written past the kernel's cache of files, which costs a machine without hardware support as much again. */
	DIRECT = 65536,
	DIRECT_UNIT = 4096,
};

/* A directory's mode and time come last: entries below still have to be made in it. */
struct later {
	struct later *next;
	char name[];
};

struct tar_target tar_target = { .root = -1 };
static struct later *laters;
static _Alignas(DIRECT_UNIT) uint8_t chunk[CHUNK];

void tar_complain(const char *name, const char *what)
{
	char line[512];
	int length = snprintf(line, sizeof line, "tar-in: %.300s: %.150s", name, what);

	for (int i = 0; i < length; i++)
		if ((unsigned char)line[i] < ' ')
			line[i] = '?'; /* a name is no second line */
	line[length++] = '\n';
	tar_target.failed = true;
	if (write_all(2, line, (size_t)length) < 0)
		return;
}

static void complain_errno(const char *name)
{
	tar_complain(name, strerror(errno));
}

size_t tar_take(void *bytes, size_t length)
{
	size_t used = 0;

	while (used < length) {
		ssize_t got = read(0, (char *)bytes + used, length - used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		used += (size_t)got;
	}
	tar_target.ended |= used < length;
	return used;
}

bool tar_skip(int64_t size)
{
	int64_t left = (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;

	while (left > 0) {
		size_t want = left < CHUNK ? (size_t)left : CHUNK;

		if (tar_take(chunk, want) < want)
			return false;
		left -= (int64_t)want;
	}
	return true;
}

static int write_run(int fd, const uint8_t *at, size_t length)
{
	if (length >= DIRECT && lseek(fd, 0, SEEK_CUR) % DIRECT_UNIT == 0 && fcntl(fd, F_SETFL, O_DIRECT) == 0) {
		ssize_t written = write(fd, at, length / DIRECT_UNIT * DIRECT_UNIT);

		fcntl(fd, F_SETFL, 0);
		if (written > 0) { /* else the failure comes again */
			at += written;
			length -= (size_t)written;
		}
	}
	return write_all(fd, at, length);
}

static bool is_hole(const uint8_t *at, size_t length)
{
	return at[0] == 0 && memcmp(at, at + 1, length - 1) == 0;
}

/* Zeros become a hole: the file is new, and gets its length at the end. */
static int put(int fd, size_t length)
{
	size_t begun = 0; /* what is not written yet */

	for (size_t at = 0, piece; at < length; at += piece) {
		piece = length - at < HOLE ? length - at : HOLE;
		if (!is_hole(chunk + at, piece))
			continue;
		if (write_run(fd, chunk + begun, at - begun) < 0 || lseek(fd, (off_t)piece, SEEK_CUR) < 0)
			return -1;
		begun = at + piece;
	}
	return write_run(fd, chunk + begun, length - begun);
}

/* Passes bytes of the archive on to *fd, which becomes -1 when that fails. False if the archive ends
 * too early. */
static bool take_bytes(int *fd, int64_t length, const char *name)
{
	while (length > 0) {
		size_t want = length < CHUNK ? (size_t)length : CHUNK;
		size_t got = tar_take(chunk, want);

		if (*fd >= 0 && got && put(*fd, got) < 0) {
			complain_errno(name);
			*fd = -1;
		}
		length -= (int64_t)got;
		if (got < want)
			return false;
	}
	return true;
}

/* Writes an entry's contents to *fd, a new file, which becomes -1 when that fails (or is -1: to nowhere). False
 * if the archive ends too early. */
static bool take_contents(int *fd, const struct tar_entry *entry)
{
	struct tar_stretch whole = { 0, entry->size };
	const struct tar_sparse *sparse = entry->sparse;
	const struct tar_stretch *stretches = sparse ? sparse->stretches : &whole;
	size_t count = sparse ? sparse->count : 1;
	int64_t length = sparse ? sparse->length : entry->size;
	int nowhere = -1;

	for (size_t i = 0; i < count; i++) {
		if (*fd >= 0 && lseek(*fd, stretches[i].offset, SEEK_SET) < 0) {
			complain_errno(entry->name);
			*fd = -1;
		}
		if (!take_bytes(fd, stretches[i].length, entry->name))
			return false;
	}
	if (*fd >= 0 && ftruncate(*fd, length) < 0) {
		complain_errno(entry->name);
		*fd = -1;
	}
	return take_bytes(&nowhere, -entry->size & (TAR_BLOCK - 1), entry->name);
}

/* All of a name is looked at before anything is made on the way to it. 0, or an error's number. */
static int judge_name(const char *name)
{
	int depth = 0;

	if (*name == '/')
		return EPERM;
	if (strlen(name) >= TAR_PATH_SIZE)
		return ENAMETOOLONG;
	while (*name) {
		size_t length = strcspn(name, "/");

		if (length == 2 && memcmp(name, "..", 2) == 0)
			return EPERM;
		if (length > NAME_MAX || (length && ++depth > TAR_DEPTH_MAX))
			return ENAMETOOLONG;
		name += length + (name[length] == '/');
	}
	return 0;
}

/* Opens the directory that holds the last component, making missing ones. The leaf stays part of
 * the name; "" if the name is the directory itself. -1 with errno. */
static int open_parent(char *name, char **leaf, bool make)
{
	AUTO_FD directory = dup(tar_target.root);
	char *at = name;

	*leaf = name + strlen(name);
	errno = judge_name(name);
	if (errno)
		return -1;
	for (;;) {
		char *slash, *after;
		bool made;
		int next;

		while (*at == '/' || (at[0] == '.' && (at[1] == '/' || at[1] == 0)))
			at++;
		slash = strchr(at, '/');
		after = slash;
		while (after && (*after == '/' || (after[0] == '.' && (after[1] == '/' || !after[1]))))
			after++;
		if (!slash || !*after) {
			if (slash)
				*slash = 0;
			*leaf = at;
			return fd_take(&directory);
		}
		*slash = 0;
		made = make && mkdirat(directory, at, 0755) == 0;
		next = openat(directory, at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		*slash = '/';
		if (next < 0)
			return -1;
		if (made && !tar_made_add(next)) {
			fd_close(&next);
			return -1;
		}
		fd_close(&directory);
		directory = next;
		at = after;
	}
}

/* Whatever but a directory stands where an entry goes has to give way. */
static int clear(int directory, const char *leaf)
{
	if (unlinkat(directory, leaf, 0) < 0 && errno != ENOENT)
		return -1;
	return 0;
}

static void set_times(int directory, const char *leaf, struct timespec mtime)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, mtime };

	utimensat(directory, leaf, times, AT_SYMLINK_NOFOLLOW);
}

static int set_owner(int directory, const char *leaf, const struct tar_entry *entry)
{
	if (!tar_target.keep_owner)
		return 0;
	return fchownat(directory, leaf, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW);
}

static mode_t mode_of(const struct tar_entry *entry)
{
	/* With another owner than the archive's, set-id bits would mean another user. */
	return entry->mode & (tar_target.keep_owner ? 07777 : 01777);
}

static bool extract_file(int directory, const char *leaf, const struct tar_entry *entry)
{
	AUTO_FD fd = -1;
	bool whole;
	int to;

	if (clear(directory, leaf) == 0)
		fd = openat(directory, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		complain_errno(entry->name);
	to = fd;
	whole = take_contents(&to, entry);
	if (fd >= 0 && (to < 0 || !whole))
		unlinkat(directory, leaf, 0); /* no half of a file by its name */
	if (to < 0 || !whole)
		return whole;
	if ((tar_target.keep_owner && fchown(fd, entry->uid, entry->gid) < 0) ||
	    fchmod(fd, mode_of(entry)) < 0 || tar_xattr_set(fd, entry->xattrs) < 0)
		complain_errno(entry->name);
	set_times(directory, leaf, entry->mtime);
	return whole;
}

static void finish_later(const char *name)
{
	size_t size = strlen(name) + 1;
	struct later *later = malloc(sizeof *later + size);

	if (!later) {
		complain_errno(name); /* it keeps the mode of a new directory */
		return;
	}
	memcpy(later->name, name, size);
	later->next = laters;
	laters = later;
}

/* The directory, made unless it is there. -1 with errno. */
static int open_directory(int directory, const char *leaf, struct tar_made **made)
{
	static const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(directory, leaf, flags);

	if (fd >= 0) {
		*made = tar_made_find(fd);
		return fd;
	}
	if (clear(directory, leaf) < 0 || mkdirat(directory, leaf, 0700) < 0)
		return -1;
	fd = openat(directory, leaf, flags);
	*made = fd < 0 ? NULL : tar_made_add(fd);
	if (fd >= 0 && !*made)
		fd_close(&fd);
	return fd;
}

static void extract_directory(int directory, const char *leaf, const struct tar_entry *entry)
{
	struct tar_made *made = NULL;
	AUTO_FD fd = open_directory(directory, leaf, &made);

	if (fd < 0 || (made && set_owner(directory, leaf, entry) < 0)) {
		complain_errno(entry->name);
		return;
	}
	if (!made)
		return; /* it was there before: the archive only adds to it */
	if (tar_xattr_set(fd, entry->xattrs) < 0)
		complain_errno(entry->name);
	if (!made->said)
		finish_later(entry->name);
	made->said = true;
	made->mode = mode_of(entry);
	made->mtime = entry->mtime;
}

static void extract_hard_link(int directory, const char *leaf, const struct tar_entry *entry)
{
	char *target_leaf;
	AUTO_FD target = open_parent(entry->link, &target_leaf, false);
	struct stat old, new;

	if (target < 0 || !*target_leaf) {
		complain_errno(entry->name);
		return;
	}
	/* A link to itself must not be cleared away first. */
	if (fstatat(target, target_leaf, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
	    fstatat(directory, leaf, &new, AT_SYMLINK_NOFOLLOW) == 0 && old.st_ino == new.st_ino &&
	    old.st_dev == new.st_dev)
		return;
	if (clear(directory, leaf) < 0 || linkat(target, target_leaf, directory, leaf, 0) < 0)
		complain_errno(entry->name);
}

static void extract_node(int directory, const char *leaf, const struct tar_entry *entry)
{
	static const mode_t types[] = { ['3'] = S_IFCHR, ['4'] = S_IFBLK, ['6'] = S_IFIFO };
	int made = clear(directory, leaf);

	if (made == 0 && entry->type == '2')
		made = symlinkat(entry->link, directory, leaf);
	else if (made == 0)
		made = mknodat(directory, leaf, types[(int)entry->type] | 0600, entry->device);
	if (made < 0 || set_owner(directory, leaf, entry) < 0 ||
	    (entry->type != '2' && fchmodat(directory, leaf, mode_of(entry), 0) < 0)) {
		complain_errno(entry->name);
		return;
	}
	set_times(directory, leaf, entry->mtime);
}

bool tar_extract(const struct tar_entry *entry)
{
	char *leaf;
	AUTO_FD directory = open_parent(entry->name, &leaf, true);

	if (directory < 0) {
		complain_errno(entry->name);
	} else if (!*leaf) {
		/* The tree's root stays as it is, and nothing else can take its place. */
		if (entry->type != '5')
			tar_complain(entry->name, "not a name");
	} else if ((entry->type == '1' || entry->type == '2') && !*entry->link) {
		tar_complain(entry->name, "a link without a target");
	} else {
		switch (entry->type) {
		case '0': return extract_file(directory, leaf, entry);
		case '1': extract_hard_link(directory, leaf, entry); break;
		case '5': extract_directory(directory, leaf, entry); break;
		case '2':
		case '3':
		case '4':
		case '6': extract_node(directory, leaf, entry); break;
		default: tar_complain(entry->name, "unknown type of entry"); break;
		}
	}
	return tar_skip(entry->size);
}

void tar_finish_directories(void)
{
	while (laters) {
		struct later *later = laters;
		char *leaf;
		AUTO_FD directory = open_parent(later->name, &leaf, false);
		AUTO_FD fd = -1;
		const struct tar_made *made;

		/* By descriptor: a link may have been put in the place of the directory. */
		if (directory >= 0)
			fd = openat(directory, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		made = fd < 0 ? NULL : tar_made_find(fd);
		if (made) {
			struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, made->mtime };

			futimens(fd, times);
			fchmod(fd, made->mode);
		}
		laters = later->next;
		free(later);
	}
	tar_made_clear();
}
