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

static int transmit(int fd, struct netlink_message *message, uint32_t number)
{
	struct nlmsghdr *header = (struct nlmsghdr *)message->bytes;

	header->nlmsg_flags |= NLM_F_ACK;
	header->nlmsg_len = (uint32_t)message->length;
	header->nlmsg_seq = number;
	return send(fd, message->bytes, message->length, 0) < 0 ? -1 : 0;
}

int netlink_run(int fd, struct netlink_message *message)
{
	static uint32_t number;
	uint8_t answer[1024] __attribute__((aligned(NLMSG_ALIGNTO)));
	const struct nlmsghdr *reply = (const struct nlmsghdr *)answer;
	const struct nlmsgerr *verdict = NLMSG_DATA(reply);
	ssize_t got;

	if (transmit(fd, message, ++number) < 0)
		return -1;
	/* What an earlier request left behind is passed over. */
	do {
		got = recv(fd, answer, sizeof answer, 0);
		if (got < 0)
			return -1;
	} while ((size_t)got >= sizeof *reply && reply->nlmsg_seq != number);
	if ((size_t)got < NLMSG_LENGTH(sizeof *verdict) || reply->nlmsg_type != NLMSG_ERROR) {
		errno = EPROTO;
		return -1;
	}
	errno = -verdict->error;
	return verdict->error ? -1 : 0;
}
