#include "keeper_links.h"

#include "keeper_rtnetlink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { VNET_HEADER = 10 };
/* Packets that wait for a guest. Each may have 64 KiB, which the kernel counts for nobody once a neighbour has sent it. */
enum { QUEUE = 256 };

/* As the kernel makes a tap: the VMM that had it before may have changed all of this. */
static bool reset(int fd)
{
	struct tun_filter everything = {.count = 0};
	int header = VNET_HEADER, room = INT_MAX, off = 0, no_program = -1;

	/* Kernels without eBPF for taps refuse the calls that are not needed then. */
	(void)ioctl(fd, TUNSETSTEERINGEBPF, &no_program);
	(void)ioctl(fd, TUNSETFILTEREBPF, &no_program);
	return ioctl(fd, TUNSETVNETHDRSZ, &header) == 0 && ioctl(fd, TUNSETVNETLE, &off) == 0 &&
	       ioctl(fd, TUNSETOFFLOAD, 0UL) == 0 && ioctl(fd, TUNSETSNDBUF, &room) == 0 &&
	       ioctl(fd, TUNSETTXFILTER, &everything) == 0 && ioctl(fd, TUNDETACHFILTER, NULL) == 0;
}

int link_open(const char *device, const char *name)
{
	struct ifreq wanted = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	strncpy(wanted.ifr_name, name, sizeof wanted.ifr_name - 1);
	if (ioctl(fd, TUNSETIFF, &wanted) == 0 && ioctl(fd, TUNSETPERSIST, 1UL) == 0 && reset(fd))
		return fd;
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}

unsigned link_number(const char *name)
{
	return if_nametoindex(name);
}

static bool change(unsigned interface, const char *alias, unsigned flags)
{
	struct ifinfomsg head = {.ifi_index = (int)interface, .ifi_flags = flags, .ifi_change = flags};
	struct message message;

	message_begin(&message, RTM_NEWLINK, 0, &head, sizeof head);
	message_add(&message, IFLA_IFALIAS, alias, strlen(alias));
	message_add_number(&message, IFLA_TXQLEN, QUEUE);
	return message_send(&message);
}

bool link_raise(unsigned interface, const char *alias)
{
	return change(interface, alias, IFF_UP);
}

bool link_rename(unsigned interface, const char *alias)
{
	return change(interface, alias, 0);
}
