#include "keeper_control.h"

#include "keeper_requests.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEERS_MOST = 32, ROUND = 16 };

/* The listener first, then the peers. */
static struct pollfd watched[1 + PEERS_MOST];
static nfds_t count;
static struct answer answer;

static bool is_our_user(int peer)
{
	struct ucred who;
	socklen_t length = sizeof who;

	return getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &who, &length) == 0 && who.uid == geteuid();
}

/* False: the peer does not take its answer, or has gone. */
static bool send_answer(int peer)
{
	union {
		char bytes[CMSG_SPACE(sizeof answer.descriptors)];
		struct cmsghdr head;
	} control;
	struct iovec text = {.iov_base = answer.text, .iov_len = answer.length};
	struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1};
	size_t size = answer.descriptor_count * sizeof *answer.descriptors;

	if (size > 0) {
		memset(&control, 0, sizeof control);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = (socklen_t)CMSG_LEN(size);
		memcpy(CMSG_DATA(&control.head), answer.descriptors, size);
		message.msg_control = control.bytes;
		message.msg_controllen = (socklen_t)CMSG_SPACE(size);
	}
	bool sent = sendmsg(peer, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
	if (!answer.descriptors_are_ours)
		for (size_t i = 0; i < answer.descriptor_count; i++)
			close(answer.descriptors[i]);
	return sent;
}

static bool refuse_peer(int peer, const char *code, const char *why)
{
	answer.descriptor_count = 0;
	answer_refuse(&answer, code, why);
	return send_answer(peer);
}

static void admit(int listener)
{
	int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (peer < 0)
		return;
	if (is_our_user(peer) && count <= PEERS_MOST) {
		watched[count++] = (struct pollfd){.fd = peer, .events = POLLIN};
		return;
	}
	if (is_our_user(peer))
		refuse_peer(peer, "full", "too many connections");
	else
		refuse_peer(peer, "refused", "another user");
	close(peer);
}

/* One request of a peer. Descriptors that come with it are dropped by the kernel: no room is given for them. */
static bool serve_one(int peer, const struct guests *guests)
{
	char text[REQUEST_MOST];
	ssize_t length = recv(peer, text, sizeof text, MSG_DONTWAIT | MSG_TRUNC);

	if (length < 0)
		return errno == EAGAIN || errno == EINTR;
	if (length == 0)
		return false;
	if (length > (ssize_t)sizeof text)
		return refuse_peer(peer, "invalid", "too long");
	request_carry_out(text, (size_t)length, guests, &answer);
	return send_answer(peer);
}

static void serve_peer(nfds_t place, const struct guests *guests)
{
	if (serve_one(watched[place].fd, guests))
		return;
	close(watched[place].fd);
	watched[place].fd = -1;
}

static void forget_closed(void)
{
	for (nfds_t i = count; i-- > 1;)
		if (watched[i].fd < 0)
			watched[i] = watched[--count];
}

void control_serve(int listener, const struct guests *guests)
{
	watched[0] = (struct pollfd){.fd = listener, .events = POLLIN};
	count = 1;
	for (;;) {
		if (poll(watched, count, -1) < 0)
			continue;
		nfds_t present = count;
		for (nfds_t i = 1; i < present; i++)
			if (watched[i].revents)
				serve_peer(i, guests);
		if (watched[0].revents)
			admit(listener);
		forget_closed();
	}
}
