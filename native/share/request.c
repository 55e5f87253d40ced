#include "request.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

bool request_take(struct request *request, void *argument, size_t size)
{
	if (request->left < size)
		return false;
	memcpy(argument, request->at, size);
	request->at += size;
	request->left -= size;
	return true;
}

const char *request_text(struct request *request)
{
	const char *text = (const char *)request->at;
	const char *end = request->left ? memchr(text, 0, request->left) : NULL;

	if (!end || end - text >= PATH_MAX)
		return NULL;
	request->left -= (size_t)(end - text) + 1;
	request->at += end - text + 1;
	return text;
}

const char *request_name(struct request *request)
{
	const char *name = request_text(request);

	if (!name || !*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return NULL;
	return name;
}

void request_put(struct request *request, const void *bytes, size_t size)
{
	memcpy(request->answer + request->length, bytes, size);
	request->length += size;
}

enum { READ_AHEAD_MOST = 1024 * 1024 };

static int do_init(struct request *request)
{
	/* Newer kernels send more than this, and take what an older server answers. */
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = 34,
		.max_background = 16,
		.congestion_threshold = 12,
		.max_write = DATA_MOST,
		.time_gran = 1,
		.max_pages = DATA_MOST / 4096,
	};
	struct {
		uint32_t major, minor, max_readahead, flags;
	} in;

	if (!request_take(request, &in, sizeof in))
		return EINVAL;
	if (in.major != FUSE_KERNEL_VERSION || in.minor < 23)
		return EPROTO;
	/* The guest's agent sets how far the kernel reads ahead, perhaps later than this. */
	out.max_readahead = READ_AHEAD_MOST;
	out.flags = in.flags & (FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS |
				FUSE_READDIRPLUS_AUTO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_AUTO_INVAL_DATA |
				FUSE_HANDLE_KILLPRIV_V2);
	request_put(request, &out, sizeof out);
	return 0;
}

static int do_forget(struct request *request)
{
	struct fuse_forget_in in;

	if (request_take(request, &in, sizeof in))
		nodes_forget(&request->mount->nodes, request->header.nodeid, in.nlookup);
	return NO_ANSWER;
}

static int do_batch_forget(struct request *request)
{
	struct fuse_batch_forget_in in;
	struct fuse_forget_one one;

	if (!request_take(request, &in, sizeof in))
		return NO_ANSWER;
	while (in.count-- && request_take(request, &one, sizeof one))
		nodes_forget(&request->mount->nodes, one.nodeid, one.nlookup);
	return NO_ANSWER;
}

static int do_interrupt(struct request *request)
{
	(void)request;
	return NO_ANSWER;
}

static int do_destroy(struct request *request)
{
	(void)request;
	return 0;
}

enum needs { NOTHING, NODE, WRITABLE };

static const struct {
	operation *run;
	enum needs needs;
} OPERATIONS[] = {
	[FUSE_INIT] = {do_init, NOTHING},
	[FUSE_DESTROY] = {do_destroy, NOTHING},
	[FUSE_FORGET] = {do_forget, NOTHING},
	[FUSE_BATCH_FORGET] = {do_batch_forget, NOTHING},
	[FUSE_INTERRUPT] = {do_interrupt, NOTHING},
	[FUSE_STATFS] = {do_statfs, NOTHING},
	[FUSE_LOOKUP] = {do_lookup, NODE},
	[FUSE_GETATTR] = {do_getattr, NODE},
	[FUSE_SETATTR] = {do_setattr, WRITABLE},
	[FUSE_READLINK] = {do_readlink, NODE},
	[FUSE_SYMLINK] = {do_symlink, WRITABLE},
	[FUSE_MKNOD] = {do_mknod, WRITABLE},
	[FUSE_MKDIR] = {do_mkdir, WRITABLE},
	[FUSE_UNLINK] = {do_unlink, WRITABLE},
	[FUSE_RMDIR] = {do_rmdir, WRITABLE},
	[FUSE_RENAME] = {do_rename, WRITABLE},
	[FUSE_RENAME2] = {do_rename2, WRITABLE},
	[FUSE_LINK] = {do_link, WRITABLE},
	[FUSE_OPEN] = {do_open, NODE},
	[FUSE_CREATE] = {do_create, WRITABLE},
	[FUSE_READ] = {do_read, NODE},
	[FUSE_WRITE] = {do_write, WRITABLE},
	[FUSE_RELEASE] = {do_release, NODE},
	[FUSE_FSYNC] = {do_fsync, NODE},
	[FUSE_FALLOCATE] = {do_fallocate, WRITABLE},
	[FUSE_LSEEK] = {do_lseek, NODE},
	[FUSE_OPENDIR] = {do_opendir, NODE},
	[FUSE_READDIR] = {do_readdir, NODE},
	[FUSE_READDIRPLUS] = {do_readdirplus, NODE},
	[FUSE_RELEASEDIR] = {do_releasedir, NODE},
	[FUSE_FSYNCDIR] = {do_fsyncdir, NODE},
	[FUSE_GETXATTR] = {do_getxattr, NODE},
	[FUSE_SETXATTR] = {do_setxattr, WRITABLE},
	[FUSE_LISTXATTR] = {do_listxattr, NODE},
	[FUSE_REMOVEXATTR] = {do_removexattr, WRITABLE},
};

enum { OPERATION_COUNT = sizeof OPERATIONS / sizeof *OPERATIONS };

static int carry_out(struct request *request)
{
	uint32_t code = request->header.opcode;

	/* The kernel does not ask again for what is answered with ENOSYS. */
	if (code >= OPERATION_COUNT || !OPERATIONS[code].run)
		return ENOSYS;
	if (OPERATIONS[code].needs == WRITABLE && request->mount->read_only)
		return EROFS;
	request->node = nodes_find(&request->mount->nodes, request->header.nodeid);
	if (OPERATIONS[code].needs == NOTHING)
		return OPERATIONS[code].run(request);
	if (!request->node)
		return ESTALE;
	request->node->looked_up++; /* it stays for as long as the request, whatever else happens */
	int failure = OPERATIONS[code].run(request);
	nodes_forget(&request->mount->nodes, request->header.nodeid, 1);
	return failure;
}

size_t request_answer(struct mount *mount, const uint8_t *message, size_t length, uint8_t *room)
{
	struct request request = {.mount = mount, .at = message, .left = length, .answer = room + sizeof(struct fuse_out_header)};
	struct fuse_out_header out;
	int failure;

	if (!request_take(&request, &request.header, sizeof request.header) || request.header.len != length)
		return 0;
	failure = carry_out(&request);
	if (failure == NO_ANSWER)
		return 0;
	out = (struct fuse_out_header){.error = -failure, .unique = request.header.unique};
	out.len = (uint32_t)(sizeof out + (failure ? 0 : request.length));
	memcpy(room, &out, sizeof out);
	return out.len;
}
