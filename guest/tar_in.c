/* tar-in: extracts a tar archive below a directory and never leaves it. Every name is walked one
 * component at a time, by descriptor, and no link is followed on the way. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "applet.h"
#include "fd.h"
#include "files.h"
#include "tar.h"

enum { EXTENSION_MAX = 1 << 20, CHUNK = 65536 };

/* One entry, of the header and of the pax and GNU extensions before it. */
struct entry {
	char *name, *link;
	char type;
	mode_t mode;
	int64_t uid, gid, size, mtime;
	dev_t device;
};

/* Values of a pax header, for the entry that follows. -1 and NULL: not given. */
struct extension {
	char *name, *link;
	int64_t uid, gid, size, mtime;
};

/* A directory's mode and time come last: entries below still have to be made in it. */
struct later {
	struct later *next;
	mode_t mode;
	int64_t mtime;
	char name[];
};

static int root_fd = -1;
static bool keep_owner, failed;
static struct later *laters;
static struct extension extension = { .uid = -1, .gid = -1, .size = -1, .mtime = -1 };
static uint8_t chunk[CHUNK];

static void complain(const char *name, const char *what)
{
	char line[512];
	int length = snprintf(line, sizeof line, "tar-in: %.300s: %.150s\n", name, what);

	failed = true;
	if (write_all(2, line, (size_t)length) < 0)
		return;
}

static void complain_errno(const char *name)
{
	complain(name, strerror(errno));
}

/* Reads exactly length bytes, or fewer at the end of the input. */
static size_t take(void *bytes, size_t length)
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
	return used;
}

/* Passes contents and padding on to fd (-1: to nowhere). False if the archive ends too early. */
static bool take_contents(int fd, int64_t size, const char *name)
{
	int64_t left = (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	int64_t wanted = size;

	while (left > 0) {
		size_t want = left < CHUNK ? (size_t)left : CHUNK;
		size_t got = take(chunk, want);
		size_t useful = wanted < (int64_t)got ? (size_t)wanted : got;

		if (fd >= 0 && write_all(fd, chunk, useful) < 0) {
			complain_errno(name);
			fd = -1;
		}
		wanted -= (int64_t)useful;
		left -= (int64_t)got;
		if (got < want)
			return false;
	}
	return true;
}

/* Opens the directory that holds the last component, making missing ones. The leaf stays part of
 * the name; "" if the name is the directory itself. -1 with errno. */
static int open_parent(char *name, char **leaf, bool make)
{
	AUTO_FD directory = dup(root_fd);
	char *at = name;

	*leaf = name + strlen(name);
	if (*name == '/') {
		errno = EPERM;
		return -1;
	}
	for (;;) {
		char *slash, *after;
		int next;

		while (*at == '/' || (at[0] == '.' && (at[1] == '/' || at[1] == 0)))
			at++;
		slash = strchr(at, '/');
		after = slash;
		while (after && (*after == '/' || (after[0] == '.' && (after[1] == '/' || !after[1]))))
			after++;
		if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == 0)) {
			errno = EPERM;
			return -1;
		}
		if (!slash || !*after) {
			if (slash)
				*slash = 0;
			*leaf = at;
			return fd_take(&directory);
		}
		*slash = 0;
		if (make)
			mkdirat(directory, at, 0755);
		next = openat(directory, at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		*slash = '/';
		if (next < 0)
			return -1;
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

static void set_times(int directory, const char *leaf, int64_t mtime)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = mtime } };

	utimensat(directory, leaf, times, AT_SYMLINK_NOFOLLOW);
}

static int set_owner(int directory, const char *leaf, const struct entry *entry)
{
	if (!keep_owner)
		return 0;
	return fchownat(directory, leaf, (uid_t)entry->uid, (gid_t)entry->gid, AT_SYMLINK_NOFOLLOW);
}

static mode_t mode_of(const struct entry *entry)
{
	/* With another owner than the archive's, set-id bits would mean another user. */
	return entry->mode & (keep_owner ? 07777 : 01777);
}

static bool extract_file(int directory, const char *leaf, const struct entry *entry)
{
	AUTO_FD fd = -1;
	bool whole;

	if (clear(directory, leaf) == 0)
		fd = openat(directory, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		complain_errno(entry->name);
	whole = take_contents(fd, entry->size, entry->name);
	if (fd < 0)
		return whole;
	if ((keep_owner && fchown(fd, (uid_t)entry->uid, (gid_t)entry->gid) < 0) ||
	    fchmod(fd, mode_of(entry)) < 0)
		complain_errno(entry->name);
	set_times(directory, leaf, entry->mtime);
	return whole;
}

static void finish_later(const char *name, const struct entry *entry)
{
	size_t size = strlen(name) + 1;
	struct later *later = malloc(sizeof *later + size);

	if (!later)
		return; /* it keeps the mode of a new directory */
	later->mode = mode_of(entry);
	later->mtime = entry->mtime;
	memcpy(later->name, name, size);
	later->next = laters;
	laters = later;
}

static void extract_directory(int directory, const char *leaf, const struct entry *entry)
{
	struct stat stat;

	/* A directory that is there already stays as it is: the archive only adds to it. */
	if (fstatat(directory, leaf, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(stat.st_mode))
		return;
	if (clear(directory, leaf) < 0 || mkdirat(directory, leaf, 0700) < 0 ||
	    set_owner(directory, leaf, entry) < 0) {
		complain_errno(entry->name);
		return;
	}
	finish_later(entry->name, entry);
}

static void extract_hard_link(int directory, const char *leaf, const struct entry *entry)
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

static void extract_node(int directory, const char *leaf, const struct entry *entry)
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

/* False if the archive is at its end before the entry is. */
static bool extract(const struct entry *entry)
{
	AUTO_FD directory = -1;
	char *leaf;
	bool file = entry->type == '0' || entry->type == 0 || entry->type == '7';

	directory = open_parent(entry->name, &leaf, true);
	if (directory < 0)
		complain_errno(entry->name);
	if (file && directory >= 0 && *leaf)
		return extract_file(directory, leaf, entry);
	if (directory >= 0 && *leaf) {
		switch (entry->type) {
		case '1': extract_hard_link(directory, leaf, entry); break;
		case '5': extract_directory(directory, leaf, entry); break;
		case '2':
		case '3':
		case '4':
		case '6': extract_node(directory, leaf, entry); break;
		default: complain(entry->name, "unknown type of entry"); break;
		}
	}
	return take_contents(-1, entry->size, entry->name);
}

static char *copy(const char *text, size_t length)
{
	char *result = memchr(text, 0, length) ? NULL : malloc(length + 1);

	if (result) {
		memcpy(result, text, length);
		result[length] = 0;
	}
	return result;
}

static void extension_clear(void)
{
	free(extension.name);
	free(extension.link);
	extension = (struct extension){ .uid = -1, .gid = -1, .size = -1, .mtime = -1 };
}

static void replace(char **text, const char *value, size_t length)
{
	free(*text);
	*text = copy(value, length);
}

static bool key_is(const char *key, size_t length, const char *name)
{
	return length == strlen(name) && memcmp(key, name, length) == 0;
}

static bool take_record(const char *key, size_t key_length, const char *value, size_t value_length)
{
	char number[24];
	long long parsed;

	if (key_is(key, key_length, "path"))
		replace(&extension.name, value, value_length);
	if (key_is(key, key_length, "linkpath"))
		replace(&extension.link, value, value_length);
	if (value_length >= sizeof number)
		return true;
	memcpy(number, value, value_length);
	number[value_length] = 0;
	parsed = strtoll(number, NULL, 10); /* fractions of seconds are dropped */
	if (key_is(key, key_length, "size")) {
		extension.size = parsed;
		return parsed >= 0;
	}
	if (key_is(key, key_length, "uid"))
		extension.uid = parsed;
	if (key_is(key, key_length, "gid"))
		extension.gid = parsed;
	if (key_is(key, key_length, "mtime"))
		extension.mtime = parsed;
	return true;
}

static bool take_records(const char *text, size_t length)
{
	const char *at = text, *end = text + length, *key, *value;
	size_t key_length, value_length;
	bool bad;

	while (tar_get_record(&at, end, &key, &key_length, &value, &value_length, &bad))
		if (!take_record(key, key_length, value, value_length))
			return false;
	return !bad;
}

/* Extensions of the entry that follows: pax records, or GNU's long names. */
static bool take_extension(char type, int64_t size)
{
	size_t whole = (size_t)((size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK);
	char *text;
	bool good;

	if (size > EXTENSION_MAX || !(text = malloc(whole + 1))) {
		complain("archive", "an extension is too long");
		return false;
	}
	good = take(text, whole) == whole;
	text[size] = 0;
	if (good && type == 'x')
		good = take_records(text, (size_t)size);
	else if (good && type == 'L')
		replace(&extension.name, text, strlen(text));
	else if (good && type == 'K')
		replace(&extension.link, text, strlen(text));
	free(text);
	if (!good)
		complain("archive", "malformed extension");
	return good;
}

static char *name_of(const struct tar_header *header)
{
	char text[sizeof header->prefix + sizeof header->name + 2];
	size_t prefix = strnlen(header->prefix, sizeof header->prefix);
	size_t name = strnlen(header->name, sizeof header->name);

	if (memcmp(header->magic, "ustar", 6) != 0 || !prefix)
		return copy(header->name, name);
	memcpy(text, header->prefix, prefix);
	text[prefix] = '/';
	memcpy(text + prefix + 1, header->name, name);
	return copy(text, prefix + 1 + name);
}

static bool numbers_of(const struct tar_header *header, struct entry *entry)
{
	int64_t mode, device_major = 0, device_minor = 0;

	if (!tar_get_number(header->mode, sizeof header->mode, &mode) ||
	    !tar_get_number(header->uid, sizeof header->uid, &entry->uid) ||
	    !tar_get_number(header->gid, sizeof header->gid, &entry->gid) ||
	    !tar_get_number(header->size, sizeof header->size, &entry->size) ||
	    !tar_get_number(header->mtime, sizeof header->mtime, &entry->mtime))
		return false;
	tar_get_number(header->major, sizeof header->major, &device_major);
	tar_get_number(header->minor, sizeof header->minor, &device_minor);
	entry->device = makedev((unsigned)device_major, (unsigned)device_minor);
	entry->mode = (mode_t)mode & 07777;
	return true;
}

static bool take_entry(const struct tar_header *header, struct entry *entry)
{
	if (extension.size >= 0)
		entry->size = extension.size;
	if (extension.uid >= 0)
		entry->uid = extension.uid;
	if (extension.gid >= 0)
		entry->gid = extension.gid;
	if (extension.mtime != -1)
		entry->mtime = extension.mtime;
	entry->name = extension.name ? extension.name : name_of(header);
	entry->link = extension.link ? extension.link :
				       copy(header->link, strnlen(header->link, sizeof header->link));
	extension.name = extension.link = NULL;
	/* Only files have contents; what else claims a size has none in any known archive. */
	if (entry->type >= '1' && entry->type <= '6')
		entry->size = 0;
	if (entry->name && entry->link)
		return extract(entry);
	complain("archive", "a name that cannot be used");
	return take_contents(-1, entry->size, "archive");
}

/* Returns 1 after an entry, 0 at the end, -1 if the archive is no good from here on. */
static int step(void)
{
	struct tar_header header;
	struct entry entry = { 0 };
	size_t got = take(&header, sizeof header);
	bool good;

	if (got == 0 || (got == sizeof header && tar_is_zero(&header)))
		return 0;
	if (got < sizeof header || !tar_checksum_valid(&header) || !numbers_of(&header, &entry) ||
	    entry.size < 0 || entry.size > INT64_MAX - TAR_BLOCK) {
		complain("archive", got < sizeof header ? "ends too early" : "malformed header");
		return -1;
	}
	entry.type = header.type;
	if (entry.type == 'x' || entry.type == 'L' || entry.type == 'K')
		return take_extension(entry.type, entry.size) ? 1 : -1;
	if (entry.type == 'g')
		return take_contents(-1, entry.size, "archive") ? 1 : -1;
	if (extension.size > INT64_MAX - TAR_BLOCK)
		return -1;
	good = take_entry(&header, &entry);
	free(entry.name);
	free(entry.link);
	extension_clear();
	if (!good)
		complain("archive", "ends too early");
	return good ? 1 : -1;
}

static void finish_directories(void)
{
	while (laters) {
		struct later *later = laters;
		char *leaf;
		AUTO_FD directory = open_parent(later->name, &leaf, false);
		AUTO_FD fd = -1;

		/* By descriptor: a link may have been put in the place of the directory. */
		if (directory >= 0)
			fd = openat(directory, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0) {
			struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
						     { .tv_sec = later->mtime } };

			futimens(fd, times);
			fchmod(fd, later->mode);
		}
		laters = later->next;
		free(later);
	}
}

int tar_in(int argc, char **argv)
{
	int at = 0, result;

	keep_owner = geteuid() == 0;
	if (at < argc && strcmp(argv[at], "--no-owner") == 0) {
		keep_owner = false;
		at++;
	}
	if (at < argc && strcmp(argv[at], "--") == 0)
		at++;
	if (argc - at != 1) {
		complain("usage", "tar-in [--no-owner] [--] DIR");
		return 2;
	}
	root_fd = open(argv[at], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0) {
		complain_errno(argv[at]);
		return 1;
	}
	umask(0);
	while ((result = step()) > 0)
		;
	finish_directories();
	extension_clear();
	fd_close(&root_fd);
	/* The sender may still be writing padding: it should not die of it. */
	while (result == 0 && take(chunk, sizeof chunk) > 0)
		;
	return failed;
}
