#include "relay_packet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static char text[PACKET_MOST + 1];

struct cmsghdr *packet_next_part(struct msghdr *message, struct cmsghdr *part)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
	return CMSG_NXTHDR(message, part);
#pragma GCC diagnostic pop
}

static void take_descriptors(struct msghdr *message, struct packet *packet)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = packet_next_part(message, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int descriptor;
			memcpy(&descriptor, CMSG_DATA(part) + i * sizeof descriptor, sizeof descriptor);
			if (packet->descriptor_count < PACKET_DESCRIPTORS)
				packet->descriptors[packet->descriptor_count++] = descriptor;
			else
				close(descriptor);
		}
	}
}

enum received packet_receive(int socket, struct packet *packet)
{
	union {
		char bytes[CMSG_SPACE(PACKET_DESCRIPTORS * sizeof(int))];
		struct cmsghdr aligned;
	} control;
	struct iovec part = {.iov_base = text, .iov_len = PACKET_MOST};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
	ssize_t length = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*packet = (struct packet){.text = text};
	if (length < 0)
		return errno == EAGAIN || errno == EINTR ? RECEIVED_NOTHING_YET : RECEIVED_END;
	take_descriptors(&message, packet);
	if (length == 0 || message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		packet_release(packet);
		return RECEIVED_END;
	}
	packet->length = (size_t)length;
	text[length] = 0;
	return RECEIVED;
}

bool packet_send(int socket, const char *bytes, size_t length)
{
	return send(socket, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}

bool packet_send_with(int socket, const char *bytes, size_t length, int descriptor)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} control = {{0}};
	struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};

	control.aligned.cmsg_level = SOL_SOCKET;
	control.aligned.cmsg_type = SCM_RIGHTS;
	control.aligned.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.aligned), &descriptor, sizeof descriptor);
	return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}

void packet_release(struct packet *packet)
{
	for (size_t i = 0; i < packet->descriptor_count; i++)
		if (packet->descriptors[i] >= 0)
			close(packet->descriptors[i]);
	packet->descriptor_count = 0;
}

int packet_take(struct packet *packet, size_t place)
{
	int descriptor = place < packet->descriptor_count ? packet->descriptors[place] : -1;

	if (descriptor < 0 || fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK) != 0)
		return -1;
	packet->descriptors[place] = -1;
	return descriptor;
}

bool packet_peer_is_us(int socket)
{
	struct ucred peer;
	socklen_t length = sizeof peer;

	return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == geteuid();
}
