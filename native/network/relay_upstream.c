#include "relay_upstream.h"

#include "relay_address.h"
#include "relay_loop.h"
#include "resolvers.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FRESH_MS = 1000, FILE_LENGTH = 8192, PORT = 53 };

static struct resolver of_host[RESOLVERS_MOST];
static size_t count_of_host;
static struct stat seen;
static int64_t looked;

static void read_file(void)
{
	char text[FILE_LENGTH];
	int file = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t length = file >= 0 ? read(file, text, sizeof text) : -1;

	if (file >= 0)
		close(file);
	/* While it is replaced, those that were known stay. */
	if (length >= 0 || count_of_host == 0)
		count_of_host = resolvers_read(text, length < 0 ? 0 : (size_t)length, of_host);
}

static void look(void)
{
	struct stat now = {0};

	if (count_of_host > 0 && loop_now() - looked < FRESH_MS)
		return;
	looked = loop_now();
	(void)stat("/etc/resolv.conf", &now);
	if (count_of_host > 0 && now.st_ino == seen.st_ino && now.st_dev == seen.st_dev && now.st_size == seen.st_size &&
	    now.st_mtim.tv_sec == seen.st_mtim.tv_sec && now.st_mtim.tv_nsec == seen.st_mtim.tv_nsec)
		return;
	read_file();
	seen = now;
}

static const struct resolver *resolver_of(const struct machine *machine, size_t number)
{
	if (machine->resolver_count > 0)
		return &machine->resolvers[number % machine->resolver_count];
	look();
	return count_of_host > 0 ? &of_host[number % count_of_host] : NULL;
}

static unsigned scope_of(const struct resolver *resolver)
{
	unsigned scope = resolver->scope[0] ? if_nametoindex(resolver->scope) : 0;

	return scope ? scope : (unsigned)strtoul(resolver->scope, NULL, 10);
}

int upstream_connect(const struct machine *machine, size_t number, int type)
{
	const struct resolver *resolver = resolver_of(machine, number);
	union socket_address to;

	if (!resolver)
		return -1;
	struct endpoint server = {.host = resolver->host, .port = PORT};
	socklen_t length = endpoint_to(&server, &to);
	if (to.any.sa_family == AF_INET6)
		to.v6.sin6_scope_id = scope_of(resolver);
	int socket_of_it = socket(to.any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (socket_of_it < 0)
		return -1;
	if (connect(socket_of_it, &to.any, length) == 0 || errno == EINPROGRESS)
		return socket_of_it;
	close(socket_of_it);
	return -1;
}
