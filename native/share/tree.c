/* Names: found, made, moved and removed. */
#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RIGHTS 0777

/* Of renameat2: the C library does not name them. */
enum { NO_REPLACE = 1, EXCHANGE = 2 };

int fill_entry(struct mount *mount, struct node *parent, const char *name, const struct statx *found,
	       struct fuse_entry_out *entry)
{
	struct identity identity = identity_of(found);
	struct node *node = nodes_look_up(&mount->nodes, parent, name, &identity);

	if (!node)
		return ENFILE;
	*entry = (struct fuse_entry_out){.nodeid = node->number, .entry_valid = BELIEVED_S, .attr_valid = BELIEVED_S};
	fill_attributes(mount, found, &entry->attr);
	return 0;
}

int put_entry(struct request *request, struct node *parent, const char *name, const struct statx *found)
{
	struct fuse_entry_out entry;
	int failure = fill_entry(request->mount, parent, name, found, &entry);

	if (!failure)
		request_put(request, &entry, sizeof entry);
	return failure;
}

/* Answers with what is under the name now. */
static int put_found(struct request *request, const struct place *place)
{
	struct statx found;
	int failure = place_look(place, &found);

	return failure ? failure : put_entry(request, request->node, place->name, &found);
}

/* The name that comes next in the request, as a place below its node. */
static int take_place(struct request *request, struct place *place)
{
	const char *name = request_name(request);

	return name ? place_below(request->mount, request->node, name, place) : EINVAL;
}

int do_lookup(struct request *request)
{
	AUTO_PLACE place = {0};
	int failure = take_place(request, &place);

	return failure ? failure : put_found(request, &place);
}

int do_mknod(struct request *request)
{
	AUTO_PLACE place = {0};
	struct fuse_mknod_in in;
	int failure, descriptor;

	if (!request_take(request, &in, sizeof in))
		return EINVAL;
	failure = take_place(request, &place);
	if (failure)
		return failure;
	if (!S_ISREG(in.mode))
		return EPERM; /* pipes, sockets and devices would lead into the host */
	descriptor = openat(place.directory, place.name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC,
			    in.mode & RIGHTS);
	if (descriptor < 0)
		return errno;
	close(descriptor);
	return put_found(request, &place);
}

int do_mkdir(struct request *request)
{
	AUTO_PLACE place = {0};
	struct fuse_mkdir_in in;
	int failure;

	if (!request_take(request, &in, sizeof in))
		return EINVAL;
	failure = take_place(request, &place);
	if (failure)
		return failure;
	return mkdirat(place.directory, place.name, in.mode & (RIGHTS | S_ISVTX)) != 0 ? errno : put_found(request, &place);
}

int do_symlink(struct request *request)
{
	AUTO_PLACE place = {0};
	int failure = take_place(request, &place);
	const char *target = request_text(request);

	if (failure)
		return failure;
	if (!target)
		return EINVAL;
	return symlinkat(target, place.directory, place.name) != 0 ? errno : put_found(request, &place);
}

int do_readlink(struct request *request)
{
	AUTO_PLACE place = {0};
	struct statx found;
	int failure = node_place(request->mount, request->node, &place, &found);

	if (failure)
		return failure;
	ssize_t length = readlinkat(place.directory, place.name, (char *)request->answer, PATH_MAX);
	if (length < 0)
		return errno;
	request->length = (size_t)length;
	return 0;
}

int do_link(struct request *request)
{
	AUTO_PLACE place = {0}, old = {0};
	struct fuse_link_in in;
	struct statx found;
	struct node *node;
	int failure;

	if (!request_take(request, &in, sizeof in))
		return EINVAL;
	node = nodes_find(&request->mount->nodes, in.oldnodeid);
	if (!node)
		return ESTALE;
	failure = take_place(request, &place);
	if (!failure)
		failure = node_place(request->mount, node, &old, &found);
	if (failure)
		return failure;
	if (linkat(old.directory, old.name, place.directory, place.name, 0) != 0)
		return errno;
	return put_found(request, &place);
}

/* The node of what is in a place; NULL if the kernel does not know it. */
static struct node *node_at(struct mount *mount, const struct place *place, struct statx *found)
{
	if (place_look(place, found) != 0)
		return NULL;
	struct identity identity = identity_of(found);
	return nodes_find_identity(&mount->nodes, &identity);
}

/* What was there has lost a name, and perhaps its last one. */
static void lose(struct mount *mount, struct node *node, const struct statx *found)
{
	if (node && (found->stx_nlink <= 1 || S_ISDIR(found->stx_mode)))
		nodes_remove(&mount->nodes, node);
}

static int take_away(struct request *request, int flags)
{
	AUTO_PLACE place = {0};
	int failure = take_place(request, &place);
	struct statx found;

	if (failure)
		return failure;
	struct node *node = node_at(request->mount, &place, &found);
	if (unlinkat(place.directory, place.name, flags) != 0)
		return errno;
	lose(request->mount, node, &found);
	return 0;
}

int do_unlink(struct request *request)
{
	return take_away(request, 0);
}

int do_rmdir(struct request *request)
{
	return take_away(request, AT_REMOVEDIR);
}

static int rename_below(struct request *request, struct node *parent, uint32_t flags)
{
	struct nodes *nodes = &request->mount->nodes;
	AUTO_PLACE from = {0}, to = {0};
	struct statx moved, replaced;
	const char *name;
	int failure;

	if (flags & ~(uint32_t)(NO_REPLACE | EXCHANGE))
		return EINVAL;
	failure = take_place(request, &from);
	name = request_name(request);
	if (!failure && !name)
		failure = EINVAL;
	if (!failure)
		failure = place_below(request->mount, parent, name, &to);
	if (failure)
		return failure;
	struct node *one = node_at(request->mount, &from, &moved), *other = node_at(request->mount, &to, &replaced);
	if (syscall(SYS_renameat2, from.directory, from.name, to.directory, to.name, flags) != 0)
		return errno;
	if (one == other)
		return 0; /* two names of one file, of which the kernel leaves both */
	if (other && flags & EXCHANGE)
		(void)nodes_move(nodes, other, request->node, from.name);
	else
		lose(request->mount, other, &replaced);
	if (one)
		(void)nodes_move(nodes, one, parent, to.name);
	return 0;
}

static int rename_to(struct request *request, uint64_t directory, uint32_t flags)
{
	struct node *parent = nodes_find(&request->mount->nodes, directory);
	int failure;

	if (!parent)
		return ESTALE;
	parent->looked_up++; /* nothing else may hold it once its last entry has moved away */
	failure = rename_below(request, parent, flags);
	nodes_forget(&request->mount->nodes, directory, 1);
	return failure;
}

int do_rename(struct request *request)
{
	struct fuse_rename_in in;

	return request_take(request, &in, sizeof in) ? rename_to(request, in.newdir, 0) : EINVAL;
}

int do_rename2(struct request *request)
{
	struct fuse_rename2_in in;

	return request_take(request, &in, sizeof in) ? rename_to(request, in.newdir, in.flags) : EINVAL;
}
