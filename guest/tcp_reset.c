#include "tcp_reset.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "console.h"
#include "fd.h"
#include "files.h"
#include "modules.h"
#include "net.h"
#include "netlink.h"
#include "socket_table.h"

enum { BATCH_MAX = 256, BATCHES_MAX = 64 };

static struct tcp_connection batch[BATCH_MAX];
static size_t count;

static void visit_line(char *line, void *context)
{
	(void)context;
	if (count < BATCH_MAX && tcp_connection_parse(line, &batch[count]))
		count++;
}

/* All of them before the first is destroyed, or the kernel's list would skip some. */
static void collect(void)
{
	count = 0;
	file_each_line("/proc/net/tcp", visit_line, NULL);
	file_each_line("/proc/net/tcp6", visit_line, NULL);
}

static int destroy(int fd, const struct tcp_connection *connection)
{
	struct inet_diag_req_v2 body = {
		.sdiag_family = connection->ipv6 ? AF_INET6 : AF_INET,
		.sdiag_protocol = IPPROTO_TCP,
		.id = {
			.idiag_sport = htons(connection->local_port),
			.idiag_dport = htons(connection->remote_port),
			/* Matters to link-local addresses only. */
			.idiag_if = (uint32_t)net_link_index(),
			.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE },
		},
	};
	struct netlink_message message;

	memcpy(body.id.idiag_src, connection->local, sizeof body.id.idiag_src);
	memcpy(body.id.idiag_dst, connection->remote, sizeof body.id.idiag_dst);
	netlink_begin(&message, SOCK_DESTROY, 0, &body, sizeof body);
	return netlink_run(fd, &message);
}

static int destroy_batch(int fd)
{
	int result = 0;

	for (size_t i = 0; i < count; i++)
		if (destroy(fd, &batch[i]) < 0)
			result = -1;
	return result;
}

static int destroy_all(void)
{
	AUTO_FD fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return -1;
	for (int i = 0; count && i < BATCHES_MAX; i++) {
		if (destroy_batch(fd) < 0)
			return -1;
		collect();
	}
	return 0;
}

void tcp_reset_all(void)
{
	collect();
	/* Most clones have none, and the modules take long to load. */
	if (!count)
		return;
	/* By hand, as an image may be without the modprobe that the kernel would ask. */
	module_load_installed("kernel/net/ipv4/inet_diag.ko");
	module_load_installed("kernel/net/ipv4/tcp_diag.ko");
	if (destroy_all() < 0)
		console("not all TCP connections are reset: %s", strerror(errno));
}
