/* Messages to the kernel about links, addresses, routes and rules, one at a time. */
#ifndef BANGER_KEEPER_RTNETLINK_H
#define BANGER_KEEPER_RTNETLINK_H

#include "keeper_address.h"

#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdint.h>

struct message {
	struct nlmsghdr header;
	char body[512];
};

typedef void on_message(void *context, const struct nlmsghdr *message);

/* False with errno: there is no such socket. */
bool rtnetlink_open(void);

/* `flags` are NLM_F_...; `head` is the structure that a message of this type begins with. */
void message_begin(struct message *message, int type, int flags, const void *head, size_t size);
void message_add(struct message *message, int attribute, const void *value, size_t size);
void message_add_number(struct message *message, int attribute, uint32_t value);

/* Sends it and waits for the kernel's verdict. False with errno. */
bool message_send(struct message *message);

/* Calls `then` for each message of a dump of this RTM_GET... type. False with errno. */
bool rtnetlink_dump(int type, int family, on_message *then, void *context);

/* The attribute of a message whose head has this size; NULL if it has none. */
const struct rtattr *message_find(const struct nlmsghdr *message, size_t head_size, int attribute);

/* The number of an attribute, 0 if it is missing. */
uint32_t message_number(const struct nlmsghdr *message, size_t head_size, int attribute);

/* The text of an attribute, cut to `size`; empty if it is missing. */
void message_text(const struct nlmsghdr *message, size_t head_size, int attribute, char *out, size_t size);

#endif
