#include "netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/rtnetlink.h>

static void append(struct netlink_message *message, const void *bytes, size_t length)
{
	memcpy(message->bytes + message->length, bytes, length);
	message->length += NLMSG_ALIGN(length);
}

void netlink_begin(struct netlink_message *message, uint16_t type, uint16_t flags, const void *body,
			  size_t length)
{
	struct nlmsghdr header = { .nlmsg_type = type, .nlmsg_flags = flags | NLM_F_REQUEST };

	memset(message, 0, sizeof *message);
	append(message, &header, sizeof header);
	append(message, body, length);
}

void netlink_attribute(struct netlink_message *message, uint16_t type, const void *value,
			      size_t length)
{
	struct rtattr attribute = { .rta_len = (unsigned short)RTA_LENGTH(length),
				    .rta_type = type };

	append(message, &attribute, sizeof attribute);
	append(message, value, length);
}

static int transmit(int fd, struct netlink_message *message)
{
	struct nlmsghdr *header = (struct nlmsghdr *)message->bytes;

	header->nlmsg_len = (uint32_t)message->length;
	return send(fd, message->bytes, message->length, 0) < 0 ? -1 : 0;
}

int netlink_run(int fd, struct netlink_message *message)
{
	uint8_t answer[1024] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *header = (struct nlmsghdr *)message->bytes;
	const struct nlmsghdr *reply = (const struct nlmsghdr *)answer;
	ssize_t got;

	header->nlmsg_flags |= NLM_F_ACK;
	if (transmit(fd, message) < 0 || (got = recv(fd, answer, sizeof answer, 0)) < 0)
		return -1;
	if ((size_t)got < NLMSG_LENGTH(sizeof(struct nlmsgerr)) || reply->nlmsg_type != NLMSG_ERROR) {
		errno = EPROTO;
		return -1;
	}
	const struct nlmsgerr *verdict = NLMSG_DATA(reply);
	errno = -verdict->error;
	return verdict->error ? -1 : 0;
}

int netlink_dump(int fd, struct netlink_message *request, netlink_visit *visit, void *context)
{
	static uint8_t answer[16384] __attribute__((aligned(NLMSG_ALIGNTO)));

	if (transmit(fd, request) < 0)
		return -1;
	for (;;) {
		ssize_t got = recv(fd, answer, sizeof answer, 0);
		struct nlmsghdr *message = (struct nlmsghdr *)answer;
		unsigned left = (unsigned)got;

		if (got < 0)
			return -1;
		for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
			if (message->nlmsg_type == NLMSG_DONE)
				return 0;
			if (message->nlmsg_type == NLMSG_ERROR) {
				errno = EPROTO;
				return -1;
			}
			visit(message, context);
		}
	}
}
