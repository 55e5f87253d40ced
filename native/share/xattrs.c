/* Extended attributes: those for users. All others (capabilities, labels, access lists) belong to the host alone. */
#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { VALUE_MOST = XATTR_SIZE_MAX, LIST_MOST = XATTR_LIST_MAX };

static bool is_for_users(const char *name)
{
	return strncmp(name, "user.", 5) == 0;
}

/* Answers with `length` bytes that are in the answer already, or with their number if the kernel asked for that. */
static int put_sized(struct request *request, size_t length, uint32_t asked)
{
	struct fuse_getxattr_out out = {.size = (uint32_t)length};

	if (!asked)
		request_put(request, &out, sizeof out);
	else if (length > asked)
		return ERANGE;
	else
		request->length = length;
	return 0;
}

static int open_node(struct request *request)
{
	struct statx found;
	int descriptor = node_open(request->mount, request->node, O_RDONLY, &found);

	/* Links, pipes and devices have no such attributes, and a file may be there to be written to only. */
	if (descriptor == -EACCES)
		descriptor = node_open(request->mount, request->node, O_WRONLY, &found);
	/* Without a name that is known it may be open. */
	if ((descriptor == -ESTALE || descriptor == -EACCES) && request->node->handles)
		return fcntl(request->node->handles->descriptor, F_DUPFD_CLOEXEC, 0);
	return descriptor;
}

static bool is_link(struct request *request)
{
	AUTO_PLACE place = {0};
	struct statx found;

	return node_place(request->mount, request->node, &place, &found) == 0 && S_ISLNK(found.stx_mode);
}

int do_getxattr(struct request *request)
{
	struct fuse_getxattr_in in;
	const char *name;

	if (!request_take(request, &in, sizeof in) || !(name = request_text(request)))
		return EINVAL;
	/* Programs that list a directory ask once for what is not supported, and for what is not there once a file. */
	if (!is_for_users(name))
		return EOPNOTSUPP;
	int descriptor = open_node(request);
	if (descriptor < 0)
		return descriptor == -ESTALE ? ESTALE : ENODATA;
	ssize_t length = fgetxattr(descriptor, name, request->answer, VALUE_MOST);
	int failure = length < 0 ? errno : 0;
	close(descriptor);
	return failure ? failure : put_sized(request, (size_t)length, in.size);
}

/* Leaves the names of attributes for users. Returns the length of what is left. */
static size_t keep_those_for_users(char *names, size_t length)
{
	size_t kept = 0;

	for (size_t at = 0; at < length;) {
		size_t size = strlen(names + at) + 1;

		if (is_for_users(names + at)) {
			memmove(names + kept, names + at, size);
			kept += size;
		}
		at += size;
	}
	return kept;
}

int do_listxattr(struct request *request)
{
	struct fuse_getxattr_in in;

	if (!request_take(request, &in, sizeof in))
		return EINVAL;
	int descriptor = open_node(request);
	if (descriptor == -ESTALE && !is_link(request))
		return ESTALE;
	if (descriptor < 0)
		return put_sized(request, 0, in.size);
	ssize_t length = flistxattr(descriptor, (char *)request->answer, LIST_MOST);
	int failure = length < 0 ? errno : 0;
	close(descriptor);
	if (failure)
		return failure;
	return put_sized(request, keep_those_for_users((char *)request->answer, (size_t)length), in.size);
}

int do_setxattr(struct request *request)
{
	struct {
		uint32_t size, flags;
	} in;
	const char *name;

	if (!request_take(request, &in, sizeof in) || !(name = request_text(request)) || in.size > request->left)
		return EINVAL;
	if (!is_for_users(name))
		return EOPNOTSUPP;
	int descriptor = open_node(request);
	if (descriptor < 0)
		return -descriptor;
	int failure = fsetxattr(descriptor, name, request->at, in.size, (int)in.flags) != 0 ? errno : 0;
	close(descriptor);
	return failure;
}

int do_removexattr(struct request *request)
{
	const char *name = request_text(request);

	if (!name)
		return EINVAL;
	if (!is_for_users(name))
		return EOPNOTSUPP;
	int descriptor = open_node(request);
	if (descriptor < 0)
		return -descriptor;
	int failure = fremovexattr(descriptor, name) != 0 ? errno : 0;
	close(descriptor);
	return failure;
}
