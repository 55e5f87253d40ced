/* What is in a directory. */
#include "request.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { READ_BYTES = 32768 };

/* As the kernel writes it. */
struct listed {
	uint64_t inode;
	int64_t next;
	uint16_t length;
	uint8_t type;
	char name[];
};

int do_opendir(struct request *request)
{
	struct fuse_open_out out = {0};
	struct statx found;
	int descriptor = node_open(request->mount, request->node, O_RDONLY | O_DIRECTORY, &found);

	if (descriptor < 0)
		return -descriptor;
	if (!handles_add(&request->mount->handles, descriptor, true, request->node, &out.fh))
		return ENFILE;
	request_put(request, &out, sizeof out);
	return 0;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* What precedes an entry with attributes. Nothing is known of one that is gone again: the kernel will ask. */
static void put_plus(struct request *request, int directory, const char *name)
{
	struct fuse_entry_out entry = {0};
	struct place place = {.directory = directory, .name = name};
	struct statx found;

	if (is_dots(name) || place_look(&place, &found) != 0 ||
	    fill_entry(request->mount, request->node, name, &found, &entry) != 0)
		entry = (struct fuse_entry_out){0};
	request_put(request, &entry, sizeof entry);
}

static void put_listed(struct request *request, const struct listed *listed, size_t name_length)
{
	static const uint8_t zeros[FUSE_DIRENT_ALIGN(1)];
	struct fuse_dirent head = {
		.ino = listed->inode, .off = (uint64_t)listed->next, .namelen = (uint32_t)name_length, .type = listed->type};

	request_put(request, &head, FUSE_NAME_OFFSET);
	request_put(request, listed->name, name_length);
	request_put(request, zeros, FUSE_DIRENT_ALIGN(name_length) - name_length);
}

/* Answers with entries as far as they fit. Returns where the next reading begins, -1 if all of these fit. */
static int64_t put_entries(struct request *request, struct handle *handle, const uint8_t *bytes, size_t length,
			   size_t most, bool plus)
{
	int64_t begin = handle->position;

	for (size_t at = 0; at < length;) {
		const struct listed *listed = (const struct listed *)(bytes + at);
		size_t name_length = strlen(listed->name);
		size_t size = (plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET) + FUSE_DIRENT_ALIGN(name_length);

		if (request->length + size > most)
			return begin;
		if (plus)
			put_plus(request, handle->descriptor, listed->name);
		put_listed(request, listed, name_length);
		at += listed->length;
		begin = listed->next;
	}
	handle->position = begin;
	return -1;
}

static int list(struct request *request, bool plus)
{
	_Alignas(struct listed) uint8_t bytes[READ_BYTES];
	struct fuse_read_in in;

	if (!request_take(request, &in, sizeof in) || in.offset > INT64_MAX)
		return EINVAL;
	struct handle *handle = handles_find(&request->mount->handles, in.fh, request->node, true);
	if (!handle)
		return EBADF;
	size_t most = in.size < DATA_MOST ? in.size : DATA_MOST;
	/* An entry with attributes takes more room than one without. */
	size_t wanted = most < READ_BYTES ? most : READ_BYTES;
	if (handle->position != (int64_t)in.offset && lseek(handle->descriptor, (off_t)in.offset, SEEK_SET) < 0)
		return errno;
	handle->position = (int64_t)in.offset;
	long got = syscall(SYS_getdents64, handle->descriptor, bytes, wanted);
	if (got < 0)
		return errno;
	int64_t again = put_entries(request, handle, bytes, (size_t)got, most, plus);
	if (again >= 0) {
		if (lseek(handle->descriptor, (off_t)again, SEEK_SET) < 0)
			return errno;
		handle->position = again;
	}
	return 0;
}

int do_readdir(struct request *request)
{
	return list(request, false);
}

int do_readdirplus(struct request *request)
{
	return list(request, true);
}
