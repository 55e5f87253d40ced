/* listen unix PATH | tcp HOST PORT | agent: sockets that the guest's user makes, and whose connections go to a client of the
 * host. `agent` is a Unix socket in a new directory, for this user alone. Stdin and stdout carry the stream of a listener
 * (docs/protocol.md). If nothing could be made, stdout is empty. */
#include "listen.h"

#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "applet.h"
#include "fd.h"
#include "files.h"

enum { BACKLOG = 64, SOCKET_MODE_MASK = 0177 };

/* What is removed at the end, also by a signal; empty: nothing. */
static char made_socket[sizeof(((struct sockaddr_un *)0)->sun_path)], made_directory[64];
static struct stat made;

static int complain(const char *where, const char *why)
{
	char line[512];
	int length = snprintf(line, sizeof line, "%.300s: %s\n", where, why);

	write_all(2, line, (size_t)length);
	return -1;
}

/* Only what is still ours: another one may be at the path by now. Safe in a signal handler. */
static void remove_made(void)
{
	struct stat found;

	if (made_socket[0] && lstat(made_socket, &found) == 0 && found.st_ino == made.st_ino && found.st_dev == made.st_dev)
		unlink(made_socket);
	if (made_directory[0])
		rmdir(made_directory);
	made_socket[0] = made_directory[0] = 0;
}

static void end_asked(int number)
{
	remove_made();
	_exit(128 + number);
}

static void heed_signals(void)
{
	static const int numbers[] = { SIGHUP, SIGINT, SIGTERM };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		signal(numbers[i], end_asked);
}

void listeners_close(struct listeners *listeners)
{
	while (listeners->count)
		fd_close(&listeners->fds[--listeners->count]);
	remove_made();
}

static bool listen_at(struct listeners *listeners, int family, const struct sockaddr *to, socklen_t length)
{
	AUTO_FD fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return false;
	if (family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (bind(fd, to, length) < 0)
		return false;
	if (family == AF_UNIX) {
		/* From now on a signal removes it. */
		lstat(((const struct sockaddr_un *)to)->sun_path, &made);
		strcpy(made_socket, ((const struct sockaddr_un *)to)->sun_path);
	}
	if (listen(fd, BACKLOG) < 0)
		return false;
	listeners->fds[listeners->count++] = fd_take(&fd);
	return true;
}

static int listen_unix(struct listeners *listeners, const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t length = strlen(path);

	if (!length || length >= sizeof to.sun_path)
		return complain(path, strerror(length ? ENAMETOOLONG : ENOENT));
	memcpy(to.sun_path, path, length);
	umask(SOCKET_MODE_MASK);
	if (!listen_at(listeners, AF_UNIX, (struct sockaddr *)&to, sizeof to))
		return complain(path, strerror(errno));
	snprintf(listeners->ready, sizeof listeners->ready, "%s", path);
	return 0;
}

/* Not below the home, which may be another machine's, or for reading only. */
static int listen_for_agent(struct listeners *listeners)
{
	static const char *const places[] = { "/tmp", "/dev/shm", "/run", "/var/tmp" };
	char path[sizeof made_directory + 8];

	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		char directory[sizeof made_directory];

		snprintf(directory, sizeof directory, "%s/banger-ssh-XXXXXX", places[i]);
		if (!mkdtemp(directory))
			continue;
		strcpy(made_directory, directory);
		snprintf(path, sizeof path, "%s/agent", directory);
		return listen_unix(listeners, path);
	}
	return complain("no place for the socket of an agent", strerror(errno));
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage own;
	socklen_t length = sizeof own;

	if (getsockname(fd, (struct sockaddr *)&own, &length) < 0)
		return 0;
	return ntohs(own.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&own)->sin6_port
					       : ((struct sockaddr_in *)&own)->sin_port);
}

/* False, with errno, if nobody can listen there. The first of several addresses chooses a port for all. */
static bool listen_at_host(struct listeners *listeners, const char *host, uint16_t port, int *resolving)
{
	struct addrinfo wanted = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE };
	struct addrinfo *found = NULL;
	char text[8];
	int number;
	bool done;

	snprintf(text, sizeof text, "%u", port);
	*resolving = getaddrinfo(host, text, &wanted, &found);
	if (*resolving)
		return false;
	done = listen_at(listeners, found->ai_family, found->ai_addr, found->ai_addrlen);
	number = errno;
	freeaddrinfo(found);
	errno = number;
	return done;
}

/* A guest may be without IPv6, or without IPv4; whatever else is wrong with one address is wrong. */
static bool is_without(int number)
{
	return number == EAFNOSUPPORT || number == EADDRNOTAVAIL;
}

/* The names of all addresses, and of both loopbacks, as SSH has them; else one address. */
static void choose_hosts(const char *host, const char *hosts[LISTENERS_MAX])
{
	bool any = !*host || strcmp(host, "*") == 0;

	hosts[0] = any ? "0.0.0.0" : strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
	hosts[1] = any ? "::" : strcmp(host, "localhost") == 0 ? "::1" : NULL;
}

static bool parse_port(const char *text, uint16_t *port)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	*port = (uint16_t)number;
	return *text >= '0' && *text <= '9' && !*end && number <= UINT16_MAX;
}

static int listen_tcp(struct listeners *listeners, const char *host, const char *text)
{
	const char *hosts[LISTENERS_MAX];
	char where[128];
	uint16_t port;
	int resolving = 0;

	if (!parse_port(text, &port))
		return complain(text, "not a port");
	choose_hosts(host, hosts);
	snprintf(where, sizeof where, "%.100s port %u", host, port);
	for (size_t i = 0; i < LISTENERS_MAX && hosts[i]; i++) {
		if (listen_at_host(listeners, hosts[i], port, &resolving))
			port = port_of(listeners->fds[listeners->count - 1]);
		else if (resolving)
			return complain(where, gai_strerror(resolving));
		else if (!is_without(errno))
			return complain(where, strerror(errno));
	}
	if (!listeners->count)
		return complain(where, strerror(EADDRNOTAVAIL));
	snprintf(listeners->ready, sizeof listeners->ready, "%u", port);
	return 0;
}

static int begin(struct listeners *listeners, int argc, char **argv)
{
	const char *home = getenv("HOME");

	if (argc == 2 && strcmp(argv[0], "unix") == 0) {
		if (home && chdir(home) < 0)
			home = NULL; /* relative paths begin at the root then */
		return listen_unix(listeners, argv[1]);
	}
	if (argc == 3 && strcmp(argv[0], "tcp") == 0)
		return listen_tcp(listeners, argv[1], argv[2]);
	if (argc == 1 && strcmp(argv[0], "agent") == 0)
		return listen_for_agent(listeners);
	return complain("listen", "unix PATH, tcp HOST PORT, or agent");
}

int listen_and_carry(int argc, char **argv)
{
	static struct listeners listeners;
	int code = 1;

	heed_signals();
	if (begin(&listeners, argc, argv) == 0)
		code = listen_pump(&listeners);
	listeners_close(&listeners);
	return code;
}
