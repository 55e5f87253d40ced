#include "keeper_rtnetlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int channel = -1;
static uint32_t sequence;

bool rtnetlink_open(void)
{
	channel = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	return channel >= 0;
}

void message_begin(struct message *message, int type, int flags, const void *head, size_t size)
{
	*message = (struct message){
		.header = {
			.nlmsg_len = (uint32_t)NLMSG_LENGTH(size),
			.nlmsg_type = (uint16_t)type,
			.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
		}};
	memcpy(message->body, head, size);
}

void message_add(struct message *message, int attribute, const void *value, size_t size)
{
	size_t place = NLMSG_ALIGN(message->header.nlmsg_len);
	struct rtattr head = {.rta_type = (uint16_t)attribute, .rta_len = (uint16_t)RTA_LENGTH(size)};
	char *at = (char *)message + place;

	if (place + RTA_LENGTH(size) > sizeof *message)
		return;
	memcpy(at, &head, sizeof head);
	memcpy(at + RTA_LENGTH(0), value, size);
	message->header.nlmsg_len = (uint32_t)(place + RTA_LENGTH(size));
}

void message_add_number(struct message *message, int attribute, uint32_t value)
{
	message_add(message, attribute, &value, sizeof value);
}

static ssize_t receive(char *buffer, size_t size)
{
	ssize_t length;

	do
		length = recv(channel, buffer, size, 0);
	while (length < 0 && errno == EINTR);
	return length;
}

/* The kernel's verdict in an NLMSG_ERROR or NLMSG_DONE. */
static bool verdict_of(const struct nlmsghdr *message)
{
	int error = 0;

	if (message->nlmsg_len >= NLMSG_LENGTH(sizeof error))
		memcpy(&error, NLMSG_DATA(message), sizeof error);
	errno = -error;
	return error == 0;
}

static bool put(struct message *message)
{
	message->header.nlmsg_seq = ++sequence;
	return send(channel, message, message->header.nlmsg_len, 0) == (ssize_t)message->header.nlmsg_len;
}

/* Reads answers to the last message until its verdict. */
static bool conclude(on_message *then, void *context)
{
	static _Alignas(struct nlmsghdr) char answers[32768];

	for (;;) {
		ssize_t length = receive(answers, sizeof answers);
		if (length < 0)
			return false;
		int left = (int)length;
		for (struct nlmsghdr *one = (struct nlmsghdr *)answers; NLMSG_OK(one, (unsigned)left);
		     one = NLMSG_NEXT(one, left)) {
			if (one->nlmsg_seq != sequence)
				continue;
			if (one->nlmsg_type == NLMSG_ERROR || one->nlmsg_type == NLMSG_DONE)
				return verdict_of(one);
			if (then)
				then(context, one);
		}
	}
}

bool message_send(struct message *message)
{
	message->header.nlmsg_flags |= NLM_F_ACK;
	return put(message) && conclude(NULL, NULL);
}

bool rtnetlink_dump(int type, int family, on_message *then, void *context)
{
	struct message message;
	struct ifinfomsg head = {.ifi_family = (unsigned char)family};

	message_begin(&message, type, NLM_F_DUMP, &head, sizeof head);
	return put(&message) && conclude(then, context);
}

const struct rtattr *message_find(const struct nlmsghdr *message, size_t head_size, int attribute)
{
	int left = (int)message->nlmsg_len - (int)NLMSG_SPACE(head_size);

	for (const struct rtattr *one = (const struct rtattr *)((const char *)message + NLMSG_SPACE(head_size));
	     left > 0 && RTA_OK(one, left); one = RTA_NEXT(one, left))
		if (one->rta_type == attribute)
			return one;
	return NULL;
}

uint32_t message_number(const struct nlmsghdr *message, size_t head_size, int attribute)
{
	const struct rtattr *found = message_find(message, head_size, attribute);
	uint32_t number = 0;

	if (found && RTA_PAYLOAD(found) >= sizeof number)
		memcpy(&number, RTA_DATA(found), sizeof number);
	return number;
}

void message_text(const struct nlmsghdr *message, size_t head_size, int attribute, char *out, size_t size)
{
	const struct rtattr *found = message_find(message, head_size, attribute);
	size_t length = found ? RTA_PAYLOAD(found) : 0;

	if (length >= size)
		length = size - 1;
	if (length)
		memcpy(out, RTA_DATA(found), length);
	out[length] = 0;
}
