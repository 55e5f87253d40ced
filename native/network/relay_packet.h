/* Packets of a Unix socket (SOCK_SEQPACKET): one text each, and descriptors with it. */
#ifndef BANGER_RELAY_PACKET_H
#define BANGER_RELAY_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

/* A machine with all the rules and names that it may have fits into the longest packet that a socket takes by default. */
enum { PACKET_MOST = 256 << 10, PACKET_DESCRIPTORS = 32 };

struct packet {
	char *text; /* ends with a zero byte */
	size_t length;
	int descriptors[PACKET_DESCRIPTORS];
	size_t descriptor_count;
};

enum received { RECEIVED, RECEIVED_NOTHING_YET, RECEIVED_END };

/* The text is valid until the next call. A packet that is too long or has too many descriptors counts as the end. */
enum received packet_receive(int socket, struct packet *packet);

/* False: the other side does not take it now, or has gone. */
bool packet_send(int socket, const char *text, size_t length);

/* The same, with a descriptor, which stays open here. */
bool packet_send_with(int socket, const char *text, size_t length, int descriptor);

/* Closes descriptors that nobody took out of the packet; who takes one leaves -1. */
void packet_release(struct packet *packet);

/* Takes a descriptor out of the packet, so that calls on it do not block; -1: it has no such one. */
int packet_take(struct packet *packet, size_t place);

/* As CMSG_NXTHDR, which warns in one library and not in another. */
struct cmsghdr *packet_next_part(struct msghdr *message, struct cmsghdr *part);

/* Whether the process at the other end is of our user. */
bool packet_peer_is_us(int socket);

#endif
