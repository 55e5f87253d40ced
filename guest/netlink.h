/* Requests to the kernel over a netlink socket. */
#ifndef BANGER_NETLINK_H
#define BANGER_NETLINK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <linux/netlink.h>

/* One request: header, body and attributes, one after the other. */
struct netlink_message {
	size_t length;
	uint8_t bytes[512] __attribute__((aligned(NLMSG_ALIGNTO)));
};

void netlink_begin(struct netlink_message *message, uint16_t type, uint16_t flags, const void *body,
		   size_t length);
void netlink_attribute(struct netlink_message *message, uint16_t type, const void *value,
		       size_t length);
/* Sends and waits for the kernel's verdict, which comes at once. -1 with errno. */
int netlink_run(int fd, struct netlink_message *message);

#endif
