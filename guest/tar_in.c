/* tar-in: extracts a tar archive below a directory. Here: reading the archive. */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "applet.h"
#include "fd.h"
#include "tar.h"
#include "tar_extract.h"

enum { EXTENSION_MAX = 1 << 20 };

#define SPARSE "GNU.sparse."

/* Values of a pax header, for the entry that follows. -1 and NULL: not given. */
struct extension {
	char *name, *link;
	int64_t uid, gid, size, mtime;
	char *sparse_name; /* of a sparse file: name is one for programs that do not know of those */
	struct tar_sparse sparse;
	struct tar_xattr *xattrs;
};

static struct extension extension = { .uid = -1, .gid = -1, .size = -1, .mtime = -1 };
/* GNU's long names, which have headers of their own and come before those of pax. */
static char *long_name, *long_link;

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
	free(extension.sparse_name);
	tar_sparse_clear(&extension.sparse);
	tar_xattr_clear(&extension.xattrs);
	extension = (struct extension){ .uid = -1, .gid = -1, .size = -1, .mtime = -1 };
}

static void forget_extensions(void)
{
	extension_clear();
	free(long_name);
	free(long_link);
	long_name = long_link = NULL;
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
	if (key_is(key, key_length, SPARSE "name")) {
		replace(&extension.sparse_name, value, value_length);
		return true;
	}
	if (key_length > strlen(SPARSE) && memcmp(key, SPARSE, strlen(SPARSE)) == 0) {
		tar_sparse_record(&extension.sparse, key, key_length, value, value_length);
		return true;
	}
	if (key_length > strlen(TAR_XATTR) && memcmp(key, TAR_XATTR, strlen(TAR_XATTR)) == 0)
		return tar_xattr_record(&extension.xattrs, key, key_length, value, value_length);
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
		tar_complain("archive", "an extension is too long");
		return false;
	}
	good = tar_take(text, whole) == whole;
	text[size] = 0;
	if (good && (type == 'x' || type == 'X')) {
		extension_clear(); /* several are not added up: the last one counts */
		good = take_records(text, (size_t)size);
	} else if (good && type == 'L') {
		replace(&long_name, text, strlen(text));
	} else if (good && type == 'K') {
		replace(&long_link, text, strlen(text));
	}
	free(text);
	if (!good)
		tar_complain("archive", "malformed extension");
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

static bool numbers_of(const struct tar_header *header, struct tar_entry *entry)
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

static char *take_text(char **text)
{
	char *taken = *text;

	*text = NULL;
	return taken;
}

/* The first that is given; the others are freed later, or by the next extension. */
static char *first_of(char **one, char **two, char **three)
{
	return take_text(*one ? one : *two ? two : three);
}

/* Its map, if it has one. False if the archive ends too early. */
static bool take_sparse(const struct tar_header *header, struct tar_entry *entry)
{
	if (entry->type == 'S' && !tar_sparse_header(&extension.sparse, header))
		return false;
	if (!extension.sparse.given)
		return true;
	entry->sparse = &extension.sparse;
	return tar_sparse_map(&extension.sparse, &entry->size);
}

static bool take_entry(const struct tar_header *header, struct tar_entry *entry)
{
	char *none = NULL;

	if (extension.size >= 0)
		entry->size = extension.size;
	if (extension.uid >= 0)
		entry->uid = extension.uid;
	if (extension.gid >= 0)
		entry->gid = extension.gid;
	if (extension.mtime != -1)
		entry->mtime = extension.mtime;
	entry->name = first_of(&long_name, &extension.sparse_name, &extension.name);
	if (!entry->name)
		entry->name = name_of(header);
	entry->xattrs = extension.xattrs;
	entry->link = first_of(&long_link, &extension.link, &none);
	if (!entry->link)
		entry->link = copy(header->link, strnlen(header->link, sizeof header->link));
	/* Only files have contents; what else claims a size has none in any known archive. */
	if (entry->type >= '1' && entry->type <= '6')
		entry->size = 0;
	if (!take_sparse(header, entry))
		return false;
	if (entry->sparse && !tar_sparse_fits(entry->sparse, entry->size)) {
		tar_complain(entry->name ? entry->name : "archive", "malformed map of a sparse file");
		return tar_skip(entry->size);
	}
	if (entry->name && entry->link)
		return tar_extract(entry);
	tar_complain("archive", "a name that cannot be used");
	return tar_skip(entry->size);
}

/* Returns 1 after an entry, 0 at the end, -1 if the archive is no good from here on. */
static int step(void)
{
	struct tar_header header;
	struct tar_entry entry = { 0 };
	size_t got = tar_take(&header, sizeof header);
	bool good;

	if (got == 0 || (got == sizeof header && tar_is_zero(&header)))
		return 0;
	if (got < sizeof header || !tar_checksum_valid(&header) || !numbers_of(&header, &entry) ||
	    entry.size < 0 || entry.size > INT64_MAX - TAR_BLOCK) {
		tar_complain("archive", got < sizeof header ? "ends too early" : "malformed header");
		return -1;
	}
	entry.type = header.type;
	if (entry.type == 'x' || entry.type == 'X' || entry.type == 'L' || entry.type == 'K')
		return take_extension(entry.type, entry.size) ? 1 : -1;
	/* What is said of all entries is not of files, and V is the archive's label. */
	if (entry.type == 'g' || entry.type == 'V')
		return tar_skip(entry.size) ? 1 : -1;
	if (extension.size > INT64_MAX - TAR_BLOCK)
		return -1;
	good = take_entry(&header, &entry);
	free(entry.name);
	free(entry.link);
	forget_extensions();
	if (!good)
		tar_complain("archive", "ends too early");
	return good ? 1 : -1;
}

int tar_in(int argc, char **argv)
{
	static uint8_t rest[4096];
	int at = 0, result;

	tar_target.keep_owner = geteuid() == 0;
	if (at < argc && strcmp(argv[at], "--no-owner") == 0) {
		tar_target.keep_owner = false;
		at++;
	}
	if (at < argc && strcmp(argv[at], "--") == 0)
		at++;
	if (argc - at != 1) {
		tar_complain("usage", "tar-in [--no-owner] [--] DIR");
		return 2;
	}
	tar_target.root = open(argv[at], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tar_target.root < 0) {
		tar_complain(argv[at], strerror(errno));
		return 1;
	}
	umask(0);
	while ((result = step()) > 0)
		;
	tar_finish_directories();
	forget_extensions();
	fd_close(&tar_target.root);
	/* The sender may still be writing padding: it should not die of it. */
	while (result == 0 && tar_take(rest, sizeof rest) > 0)
		;
	return tar_target.failed;
}
