/* tar-in: extracts a tar archive below a directory. Here: reading the archive.
 *
 * What is malformed ends it: after one header that cannot be trusted none can. What is well-formed and cannot be made
 * here is complained about, and the next entry is tried. */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "applet.h"
#include "fd.h"
#include "tar.h"
#include "tar_extract.h"
#include "tar_pax.h"

/* As Linux has them; mknod(2) would cut off what is more. */
enum { MAJOR_MAX = (1 << 12) - 1, MINOR_MAX = (1 << 20) - 1 };

enum step { GOES_ON, AT_END, BROKEN };

static struct tar_pax pax;

static enum step broken(const char *name, const char *what)
{
	tar_complain(*name ? name : "archive",
		     tar_target.ended ? "the archive is cut short here" : what);
	return BROKEN;
}

static enum step broken_header(const struct tar_header *header, const char *what)
{
	char name[sizeof header->name + 1] = { 0 };

	memcpy(name, header->name, sizeof header->name);
	return broken(name, what);
}

/* What is said of the entry that follows. */
static enum step take_extension(char type, int64_t size)
{
	size_t whole = (size_t)((size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK);
	char *text = size > TAR_EXTENSION_MAX ? NULL : malloc(whole + 1);
	bool good;

	if (!text)
		return broken("archive", "an extended header is too long");
	good = tar_take(text, whole) == whole;
	/* What is said of all entries is not of files. */
	if (good && type != 'g')
		good = tar_pax_take(&pax, type, (struct span){ text, (size_t)size });
	free(text);
	return good ? GOES_ON : broken("archive", "an extended header is malformed");
}

static char *name_of(const struct tar_header *header)
{
	char text[sizeof header->prefix + sizeof header->name + 2];
	size_t prefix = tar_prefix_length(header);
	size_t name = strnlen(header->name, sizeof header->name);

	if (!prefix)
		return strndup(header->name, name);
	memcpy(text, header->prefix, prefix);
	text[prefix] = '/';
	memcpy(text + prefix + 1, header->name, name);
	return strndup(text, prefix + 1 + name);
}

/* As chown(2) takes it: negative ones are the highest, and -1 leaves the owner who extracts. */
static bool owner_of(const char *field, size_t size, const struct tar_given *given, uint32_t *owner)
{
	int64_t number;
	bool good = tar_get_number(field, size, &number) && number >= INT32_MIN && number <= UINT32_MAX;

	if (given->given)
		number = given->value;
	*owner = (uint32_t)number == UINT32_MAX ? 0 : (uint32_t)number;
	return good && number >= INT32_MIN && number <= UINT32_MAX;
}

static bool numbers_of(const struct tar_header *header, struct tar_entry *entry)
{
	int64_t mode, mtime;

	if (!tar_get_number(header->mode, sizeof header->mode, &mode) || mode < 0 ||
	    !tar_get_number(header->mtime, sizeof header->mtime, &mtime) ||
	    !owner_of(header->uid, sizeof header->uid, &pax.uid, &entry->uid) ||
	    !owner_of(header->gid, sizeof header->gid, &pax.gid, &entry->gid))
		return false;
	entry->mode = (mode_t)mode & 07777;
	entry->mtime = pax.has_mtime ? pax.mtime : (struct timespec){ .tv_sec = mtime };
	if (pax.size.given)
		entry->size = pax.size.value;
	return entry->size <= INT64_MAX - TAR_BLOCK;
}

static bool device_number(const char *field, size_t size, const struct tar_given *given, int64_t *number)
{
	*number = given->value;
	return given->given || tar_get_number(field, size, number);
}

static bool device_of(const struct tar_header *header, struct tar_entry *entry)
{
	int64_t device_major, device_minor;

	if (entry->type != '3' && entry->type != '4')
		return true;
	if (!device_number(header->major, sizeof header->major, &pax.major, &device_major) ||
	    !device_number(header->minor, sizeof header->minor, &pax.minor, &device_minor) ||
	    device_major < 0 || device_major > MAJOR_MAX || device_minor < 0 || device_minor > MINOR_MAX)
		return false;
	entry->device = makedev((unsigned)device_major, (unsigned)device_minor);
	return true;
}

static bool is_plain(char type)
{
	return type == '0' || type == 0 || type == '7';
}

/* Its holes, if it has some, and its names, which depend on that. */
static bool map_of(const struct tar_header *header, struct tar_entry *entry)
{
	if (entry->type == 'S') {
		if (!tar_sparse_header(&pax.sparse, header, entry->size))
			return false;
		entry->sparse = &pax.sparse;
	} else if (is_plain(entry->type) && tar_sparse_given(&pax.sparse)) {
		if (!tar_sparse_map(&pax.sparse, &entry->size))
			return false;
		entry->sparse = &pax.sparse;
	}
	return true;
}

/* One letter for what has several, and no data for what can have none. */
static bool settle_type(struct tar_entry *entry)
{
	size_t length = strlen(entry->name);
	char type = entry->type;

	if (type == 'S') {
		entry->type = '0';
	} else if (is_plain(type) && length && entry->name[length - 1] == '/') {
		/* Before POSIX directories had no type of their own; some programs gave them a size. */
		if (type != 0 && entry->size)
			return false;
		entry->type = '5';
		entry->size = 0;
		entry->sparse = NULL;
	} else if (is_plain(type)) {
		entry->type = '0';
	} else if (type == 'D') {
		entry->type = '5'; /* a dump's: its data are the names that were in it */
	} else if (type >= '1' && type <= '6') {
		entry->size = 0;
	}
	return true;
}

static enum step take_entry(const struct tar_header *header, struct tar_entry *entry)
{
	if (!numbers_of(header, entry) || !device_of(header, entry))
		return broken_header(header, "a number of its header is malformed or out of range");
	if (!map_of(header, entry))
		return broken_header(header, "malformed map of a sparse file");
	entry->name = tar_pax_name(&pax, entry->sparse && entry->type != 'S');
	entry->link = tar_pax_link(&pax);
	if (!entry->name)
		entry->name = name_of(header);
	if (!entry->link)
		entry->link = strndup(header->link, strnlen(header->link, sizeof header->link));
	if (!entry->name || !entry->link)
		return broken("archive", strerror(ENOMEM));
	if (!settle_type(entry))
		return broken(entry->name, "a directory with data");
	entry->xattrs = pax.xattrs;
	return tar_extract(entry) ? GOES_ON : broken(entry->name, "");
}

/* Two blocks of zeros, and no header that waits for its entry: else something is missing. */
static enum step take_end(void)
{
	struct tar_header header;

	if (tar_take(&header, sizeof header) < sizeof header || !tar_is_zero(&header))
		return broken("archive", "goes on after a block of zeros");
	return pax.pending ? broken("archive", "an extended header belongs to no entry") : AT_END;
}

static enum step step(void)
{
	struct tar_header header;
	struct tar_entry entry = { 0 };
	enum step result;

	if (tar_take(&header, sizeof header) < sizeof header)
		return broken("archive", "");
	if (tar_is_zero(&header))
		return take_end();
	if (!tar_checksum_valid(&header) ||
	    !tar_get_number(header.size, sizeof header.size, &entry.size) || entry.size < 0 ||
	    entry.size > INT64_MAX - TAR_BLOCK)
		return broken("archive", "malformed header");
	entry.type = header.type;
	switch (entry.type) {
	case 'x':
	case 'X': /* Solaris' */
	case 'g':
	case 'L':
	case 'K': return take_extension(entry.type, entry.size);
	case 'V': /* the archive's label, and Solaris' access lists */
	case 'A': return tar_skip(entry.size) ? GOES_ON : broken("archive", "");
	}
	result = take_entry(&header, &entry);
	free(entry.name);
	free(entry.link);
	tar_pax_clear(&pax);
	return result;
}

int tar_in(int argc, char **argv)
{
	static uint8_t rest[4096];
	enum step result;
	int at = 0;

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
		int number = errno;

		tar_complain(argv[at], strerror(number));
		return path_failure(number);
	}
	umask(0);
	while ((result = step()) == GOES_ON)
		;
	tar_finish_directories();
	tar_pax_clear(&pax);
	fd_close(&tar_target.root);
	/* The sender may still be writing padding: it should not die of it. */
	while (result == AT_END && tar_take(rest, sizeof rest) > 0)
		;
	return result == BROKEN ? TAR_BROKEN : tar_target.failed;
}
