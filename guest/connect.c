/* connect unix PATH | tcp HOST PORT: a connection that begins in the guest, as its user, for a client of the host. Stdin is
 * what the service hears and stdout what it says, after one byte that says that the service accepted. It ends when the
 * service has said all: a client of an exec does not hear the end of its output earlier. */
#include "applet.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "files.h"

enum { FLOW_BYTES = 64 << 10, BOTH = 2 };

/* One direction. `ended`: nothing comes any more; `over`: and all of it has gone on, or there is no way to go. */
struct flow {
	int from, to;
	size_t start, end;
	bool ended, over;
	uint8_t bytes[FLOW_BYTES];
};

static int complain(const char *where, const char *why)
{
	char line[512];
	int length = snprintf(line, sizeof line, "%.300s: %s\n", where, why);

	write_all(2, line, (size_t)length);
	return -1;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t length = strlen(path);

	if (length >= sizeof to.sun_path)
		return complain(path, strerror(ENAMETOOLONG));
	memcpy(to.sun_path, path, length);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		return complain(path, strerror(errno));
	return fd_take(&fd);
}

static int connect_tcp(const char *host, const char *port)
{
	struct addrinfo wanted = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *found = NULL;
	int fd = -1, number = getaddrinfo(host, port, &wanted, &found);

	if (number)
		return complain(host, gai_strerror(number));
	for (struct addrinfo *one = found; one && fd < 0; one = one->ai_next) {
		fd = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, one->ai_addr, one->ai_addrlen) < 0)
			fd_close(&fd);
		number = errno;
	}
	freeaddrinfo(found);
	return fd < 0 ? complain(host, strerror(number)) : fd;
}

static bool may_come_later(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* False if the source broke off. */
static bool flow_in(struct flow *flow)
{
	ssize_t got = read(flow->from, flow->bytes, sizeof flow->bytes);

	if (got < 0)
		return may_come_later();
	flow->start = 0;
	flow->end = (size_t)got;
	flow->ended = got == 0;
	return true;
}

static bool flow_out(struct flow *flow)
{
	ssize_t done = write(flow->to, flow->bytes + flow->start, flow->end - flow->start);

	if (done < 0)
		return may_come_later();
	flow->start += (size_t)done;
	return true;
}

static bool flow_waits(const struct flow *flow)
{
	return flow->start < flow->end;
}

static void watch(const struct flow *flow, struct pollfd *watched)
{
	bool out = flow_waits(flow);

	*watched = (struct pollfd){ flow->over || (flow->ended && !out) ? -1 : out ? flow->to : flow->from,
				    out ? POLLOUT : POLLIN, 0 };
}

/* Until the service has said all. Returns the exit code: 1 if one side broke off. */
static int carry(struct flow *said, struct flow *heard)
{
	struct pollfd watched[BOTH];

	while (!said->ended || flow_waits(said)) {
		watch(said, &watched[0]);
		watch(heard, &watched[1]);
		if (poll(watched, BOTH, -1) < 0 && errno != EINTR)
			return 1;
		if (watched[0].revents && !(flow_waits(said) ? flow_out(said) : flow_in(said)))
			return 1;
		if (watched[1].revents && !(flow_waits(heard) ? flow_out(heard) : flow_in(heard)))
			heard->over = true; /* the service listens no more, but it may still say something */
		if (heard->ended && !heard->over) {
			heard->over = true;
			shutdown(heard->to, SHUT_WR);
		}
	}
	return 0;
}

static void never_wait(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int connect_and_carry(int argc, char **argv)
{
	static struct flow said, heard;
	const char *home = getenv("HOME");
	int fd = -1;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && strcmp(argv[0], "unix") == 0) {
		if (home && chdir(home) < 0)
			home = NULL; /* relative paths begin at the root then */
		fd = connect_unix(argv[1]);
	} else if (argc == 3 && strcmp(argv[0], "tcp") == 0) {
		fd = connect_tcp(argv[1], argv[2]);
	}
	if (fd < 0 || write_all(1, "", 1) < 0)
		return 1;
	for (int i = 0; i < BOTH; i++)
		never_wait(i);
	never_wait(fd);
	said.from = heard.to = fd;
	said.to = 1;
	return carry(&said, &heard);
}
