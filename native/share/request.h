/* One request of the guest's kernel, in the words of linux/fuse.h. All bytes of it are the guest's. */
#ifndef BANGER_SHARE_REQUEST_H
#define BANGER_SHARE_REQUEST_H

#include "places.h"
#include "share.h"

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What comes back from a request in place of an errno: it has no answer. */
enum { NO_ANSWER = -1 };

struct request {
	struct mount *mount;
	struct node *node;
	struct fuse_in_header header;
	const uint8_t *at; /* what is left of the arguments */
	size_t left;
	uint8_t *answer; /* room for DATA_MOST bytes */
	size_t length;   /* of the answer */
};

/* The answer to a whole message: its length, 0 for none. `room` has MESSAGE_MOST bytes. */
size_t request_answer(struct mount *mount, const uint8_t *message, size_t length, uint8_t *room);

/* Takes the next argument. False: there are fewer bytes than that. */
bool request_take(struct request *request, void *argument, size_t size);
/* Takes the next argument, a text that ends in a NUL. NULL: it does not, or is too long. */
const char *request_text(struct request *request);
/* As request_text, for the name of an entry: never "", ".", "..", and without a slash. */
const char *request_name(struct request *request);
/* Appends to the answer. */
void request_put(struct request *request, const void *bytes, size_t size);

/* What the kernel wants to know of a file that was found. */
void fill_attributes(const struct mount *mount, const struct statx *found, struct fuse_attr *attributes);
/* How long the kernel may believe what it was told, in seconds: what changes on the host is seen after that. */
enum { BELIEVED_S = 1 };
/* Answers with a file that was found under a name. An errno. */
int put_entry(struct request *request, struct node *parent, const char *name, const struct statx *found);
/* As put_entry; into a structure. */
int fill_entry(struct mount *mount, struct node *parent, const char *name, const struct statx *found,
	       struct fuse_entry_out *entry);

/* Each returns 0, an errno, or NO_ANSWER. */
typedef int operation(struct request *request);

operation do_lookup, do_mknod, do_mkdir, do_symlink, do_link, do_unlink, do_rmdir, do_rename, do_rename2, do_readlink;
operation do_getattr, do_setattr, do_statfs;
operation do_open, do_create, do_read, do_write, do_release, do_fsync, do_fallocate, do_lseek;
operation do_opendir, do_readdir, do_readdirplus, do_releasedir, do_fsyncdir;
operation do_getxattr, do_setxattr, do_listxattr, do_removexattr;

#endif
