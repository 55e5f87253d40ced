/* A directory of the test's own, served without a channel: each request is asked for by one call. */
#ifndef BANGER_SHARE_TEST_SERVED_H
#define BANGER_SHARE_TEST_SERVED_H

#include "../request.h"

#include <assert.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char served_path[PATH_MAX];
static struct mount served;
static uint8_t asked[MESSAGE_MOST], answered[MESSAGE_MOST];
static size_t answered_length;

static inline int remove_one(const char *path, const struct stat *found, int kind, struct FTW *where)
{
	(void)found, (void)kind, (void)where;
	return remove(path);
}

/* An empty directory beside a file `secret`. */
static inline void serve(bool read_only)
{
	char path[PATH_MAX];

	snprintf(served_path, sizeof served_path, "%s/share-test-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert(mkdtemp(served_path));
	snprintf(path, sizeof path, "%.4000s/secret", served_path);
	close(open(path, O_CREAT | O_WRONLY, 0644));
	snprintf(path, sizeof path, "%.4000s/root", served_path);
	assert(mkdir(path, 0755) == 0);
	assert(mount_open(&served, path, read_only));
	assert(nodes_open(&served.nodes, 1000));
	handles_open(&served.handles, 77);
}

static inline void serve_no_more(void)
{
	mount_close(&served);
	nftw(served_path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A path on the host, of something below the served directory. */
static inline const char *host(const char *name)
{
	static char path[2][PATH_MAX];
	static int turn;

	turn = !turn;
	snprintf(path[turn], PATH_MAX, "%.3000s/root/%.900s", served_path, name);
	return path[turn];
}

/* 0 or the errno of the answer, NO_ANSWER without one. */
static inline int ask(uint32_t opcode, uint64_t node, const void *arguments, size_t size, const char *text, size_t length)
{
	struct fuse_in_header in = {.opcode = opcode, .nodeid = node, .unique = 5};
	struct fuse_out_header out;

	in.len = (uint32_t)(sizeof in + size + length);
	memcpy(asked, &in, sizeof in);
	if (size)
		memcpy(asked + sizeof in, arguments, size);
	if (length)
		memcpy(asked + sizeof in + size, text, length);
	answered_length = request_answer(&served, asked, in.len, answered);
	if (!answered_length)
		return NO_ANSWER;
	memcpy(&out, answered, sizeof out);
	assert(out.len == answered_length && out.unique == 5);
	return -out.error;
}

static inline int ask_name(uint32_t opcode, uint64_t node, const char *name)
{
	return ask(opcode, node, NULL, 0, name, strlen(name) + 1);
}

#define ANSWER(type) (*(const type *)(memcpy(answered + MESSAGE_MOST / 2, answered + sizeof(struct fuse_out_header), \
						   sizeof(type)), answered + MESSAGE_MOST / 2))

static inline uint64_t look_up(uint64_t parent, const char *name)
{
	assert(ask_name(FUSE_LOOKUP, parent, name) == 0);
	return ANSWER(struct fuse_entry_out).nodeid;
}

static inline uint64_t create(uint64_t parent, const char *name, uint64_t *handle)
{
	struct fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | 0644};

	assert(ask(FUSE_CREATE, parent, &in, sizeof in, name, strlen(name) + 1) == 0);
	memcpy(handle, answered + sizeof(struct fuse_out_header) + sizeof(struct fuse_entry_out), sizeof *handle);
	return ANSWER(struct fuse_entry_out).nodeid;
}

static inline uint64_t make_directory(uint64_t parent, const char *name)
{
	struct fuse_mkdir_in in = {.mode = 0755};

	assert(ask(FUSE_MKDIR, parent, &in, sizeof in, name, strlen(name) + 1) == 0);
	return ANSWER(struct fuse_entry_out).nodeid;
}

static inline int rename_at(uint64_t from, const char *old, uint64_t to, const char *name, uint32_t flags)
{
	struct fuse_rename2_in in = {.newdir = to, .flags = flags};
	char names[600];
	size_t first = strlen(old) + 1, second = strlen(name) + 1;

	memcpy(names, old, first);
	memcpy(names + first, name, second);
	return ask(FUSE_RENAME2, from, &in, sizeof in, names, first + second);
}

static inline void forget(uint64_t node, uint64_t times)
{
	struct fuse_forget_in in = {.nlookup = times};

	assert(ask(FUSE_FORGET, node, &in, sizeof in, NULL, 0) == NO_ANSWER);
}

static inline ssize_t read_at(uint64_t node, uint64_t handle, uint64_t offset, uint32_t size)
{
	struct fuse_read_in in = {.fh = handle, .offset = offset, .size = size};
	int failure = ask(FUSE_READ, node, &in, sizeof in, NULL, 0);

	return failure ? -failure : (ssize_t)(answered_length - sizeof(struct fuse_out_header));
}

static inline int write_at(uint64_t node, uint64_t handle, uint64_t offset, const char *text, uint32_t flags)
{
	struct fuse_write_in in = {.fh = handle, .offset = offset, .size = (uint32_t)strlen(text), .flags = flags};

	return ask(FUSE_WRITE, node, &in, sizeof in, text, strlen(text));
}

static inline int get_attributes(uint64_t node)
{
	struct fuse_getattr_in in = {0};

	return ask(FUSE_GETATTR, node, &in, sizeof in, NULL, 0);
}

#endif
