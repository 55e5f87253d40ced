#include "tap.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>

extern char **environ;

static int listen_for_requests(void)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TUNSETIFF, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof steps / sizeof *steps, .filter = steps};

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void send_descriptor(int connection, int descriptor)
{
	char byte = 0;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof descriptor)];
	} control = {.head = {.cmsg_len = CMSG_LEN(sizeof descriptor),
	                      .cmsg_level = SOL_SOCKET,
	                      .cmsg_type = SCM_RIGHTS}};
	struct iovec vector = {&byte, 1};
	struct msghdr message = {.msg_iov = &vector,
	                         .msg_iovlen = 1,
	                         .msg_control = &control,
	                         .msg_controllen = sizeof control};

	memcpy(CMSG_DATA(&control.head), &descriptor, sizeof descriptor);
	if (sendmsg(connection, &message, 0) != 1)
		fail("sendmsg", TAP_DEVICE);
}

/* -1 if the other side ended without sending one. */
static int receive_descriptor(int connection)
{
	char byte;
	int descriptor = -1;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof descriptor)];
	} control;
	struct iovec vector = {&byte, 1};
	struct msghdr message = {.msg_iov = &vector,
	                         .msg_iovlen = 1,
	                         .msg_control = &control,
	                         .msg_controllen = sizeof control};

	if (recvmsg(connection, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
		return -1;
	memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
	return descriptor;
}

/* The process looks like the program, whose words and directory it shares: it must not be taken for it. */
static void become_nobody(char **words)
{
	for (char **each = words; *each; each++)
		memset(*each, 0, strlen(*each));
	for (char **each = environ; *each; each++)
		memset(*each, 0, strlen(*each));
	(void)!chdir("/");
}

static void answer_one(int requests, int tap)
{
	struct pollfd polled = {.fd = requests, .events = POLLIN};
	struct seccomp_notif request;
	struct seccomp_notif_resp response = {0};

	do {
		if (poll(&polled, 1, -1) < 0 || !(polled.revents & POLLIN))
			_exit(0); /* the program has ended */
		memset(&request, 0, sizeof request);
	} while (ioctl(requests, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0);
	struct seccomp_notif_addfd lent = {.id = request.id,
	                                   .flags = SECCOMP_ADDFD_FLAG_SETFD,
	                                   .srcfd = (uint32_t)tap,
	                                   .newfd = (uint32_t)request.data.args[0],
	                                   .newfd_flags = O_CLOEXEC};
	response.id = request.id;
	if (ioctl(requests, SECCOMP_IOCTL_NOTIF_ADDFD, &lent) < 0)
		response.error = -errno;
	(void)ioctl(requests, SECCOMP_IOCTL_NOTIF_SEND, &response);
	_exit(0);
}

void tap_lend(int tap, char **words)
{
	int pair[2];

	if (fcntl(tap, F_SETFD, FD_CLOEXEC) != 0)
		fail("tap", NULL);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		fail("socketpair", NULL);
	/* No process of the program waits for a child that the program did not start. */
	if (signal(SIGCHLD, SIG_IGN) == SIG_ERR)
		fail("signal", NULL);
	pid_t child = fork();
	if (child < 0)
		fail("fork", NULL);
	if (child == 0) {
		close(pair[0]);
		become_nobody(words);
		int requests = receive_descriptor(pair[1]);
		if (requests >= 0)
			answer_one(requests, tap);
		_exit(0);
	}
	close(pair[1]);
	int requests = listen_for_requests();
	if (requests < 0)
		fail("seccomp", NULL);
	send_descriptor(pair[0], requests);
	close(pair[0]);
	close(requests);
}
