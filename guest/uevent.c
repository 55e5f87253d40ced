#include "uevent.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

#include <linux/netlink.h>

#include "fd.h"
#include "loop.h"

enum {
	KERNEL_GROUP = 1,
	/* How long to wait for a message where there are none to be had. */
	BLIND_WAIT_MS = 5,
};

static int uevent_fd = -1;

void uevent_open(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };

	uevent_fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			   NETLINK_KOBJECT_UEVENT);
	if (uevent_fd >= 0 && bind(uevent_fd, (struct sockaddr *)&address, sizeof address) < 0)
		fd_close(&uevent_fd);
}

void uevent_close(void)
{
	fd_close(&uevent_fd);
}

bool uevent_wait(uint64_t deadline_ms)
{
	struct pollfd poll_fd = { .fd = uevent_fd, .events = POLLIN };
	uint64_t now = now_ms();
	char message[2048];

	if (now >= deadline_ms)
		return false;
	if (uevent_fd < 0) {
		poll(NULL, 0, BLIND_WAIT_MS);
		return true;
	}
	poll(&poll_fd, 1, (int)(deadline_ms - now));
	/* What happened does not matter, the caller looks for itself; an overrun does not either. */
	while (recv(uevent_fd, message, sizeof message, 0) > 0)
		;
	return true;
}
