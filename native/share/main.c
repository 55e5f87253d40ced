/* share: serves directories of the host to the kernel of one guest.
 *
 *   share --channel=FD --mount=rw:PATH --mount=ro:PATH ...
 *
 * It runs in a jail that has these paths, with the rights of the daemon's user, and outlives the daemon. FD is the stream
 * to the guest's agent. The mounts have the numbers 0, 1, ... in the order of the options. It ends with the stream. */
#include "channel.h"
#include "request.h"
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_REFUSED = 1, EXIT_USAGE = 125 };

static struct mount mounts[MOUNTS_MOST];
static size_t mount_count;

static _Noreturn void refuse(int code, const char *what, const char *why)
{
	dprintf(STDERR_FILENO, "share: %s: %s\n", what, why);
	exit(code);
}

/* The numbers of this server's nodes and handles: the guest's kernel may still know those of an earlier one. */
static void number(struct mount *mount)
{
	uint64_t first;
	uint32_t session;

	if (getrandom(&first, sizeof first, 0) != sizeof first || getrandom(&session, sizeof session, 0) != sizeof session)
		refuse(EXIT_REFUSED, "random numbers", strerror(errno));
	if (!nodes_open(&mount->nodes, (first >> 8) + FUSE_ROOT_ID + 1))
		refuse(EXIT_REFUSED, "memory", strerror(ENOMEM));
	handles_open(&mount->handles, session);
}

static void add_mount(char *text)
{
	bool read_only = strncmp(text, "ro:", 3) == 0;

	if ((!read_only && strncmp(text, "rw:", 3) != 0) || text[3] != '/' || mount_count == MOUNTS_MOST)
		refuse(EXIT_USAGE, "not a mount, or one too many", text);
	struct mount *mount = &mounts[mount_count++];
	if (!mount_open(mount, text + 3, read_only))
		refuse(EXIT_REFUSED, text + 3, strerror(errno));
	number(mount);
}

static int read_options(int argc, char **argv)
{
	int channel = -1;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--channel=", 10) == 0)
			channel = atoi(argv[i] + 10);
		else if (strncmp(argv[i], "--mount=", 8) == 0)
			add_mount(argv[i] + 8);
		else
			refuse(EXIT_USAGE, "unknown option", argv[i]);
	}
	if (channel < 0 || !mount_count)
		refuse(EXIT_USAGE, "usage", "share --channel=FD --mount=rw:PATH|ro:PATH ...");
	return channel;
}

/* Who the files of our user belong to in the guest. */
static void set_owner(struct mount *mount, const struct message *message)
{
	uint32_t owner[2];

	if (message->length != sizeof owner)
		return;
	memcpy(owner, message->bytes, sizeof owner);
	mount->guest_user = owner[0];
	mount->guest_group = owner[1];
}

static void serve(struct channel *channel)
{
	struct message message;

	while (channel_next(channel, &message)) {
		uint8_t *room = channel_room(channel);

		if (!room)
			return;
		if (message.mount >= mount_count)
			continue;
		if (message.kind == KIND_OWNER)
			set_owner(&mounts[message.mount], &message);
		if (message.kind != KIND_FUSE)
			continue;
		size_t length = request_answer(&mounts[message.mount], message.bytes, message.length, room);
		if (length)
			channel_put(channel, message.mount, KIND_FUSE, length);
	}
}

int main(int argc, char **argv)
{
	struct channel channel;
	int descriptor = read_options(argc, argv);

	umask(0); /* the guest's kernel has applied that of the process */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (fcntl(descriptor, F_SETFL, 0) != 0 || fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0)
		refuse(EXIT_REFUSED, "the channel", strerror(errno));
	if (!channel_open(&channel, descriptor))
		refuse(EXIT_REFUSED, "memory", strerror(ENOMEM));
	if (channel_meet(&channel))
		serve(&channel);
	return 0;
}
