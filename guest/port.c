#include "port.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>

#include "console.h"
#include "fd.h"
#include "files.h"
#include "loop.h"
#include "uevent.h"

#define PORT_NAME "banger.agent"
#define PORT_NAME_SHARES "banger.shares"

enum {
	SERIAL_WAIT_MS = 10000,
	SERIAL_DEVICES = 4,
	SERIAL_PORTS = 8,
	/* A write is copied into one kernel allocation. When memory is too fragmented for a large
	 * one, a page still goes through. */
	WRITE_MAX = 65536,
	WRITE_SMALL = 1024,
	RETRY_MS = 20,
	ABSENCE_MS = 100,
};

/* What is known of the host's end of a serial port. The driver learns that a host came by a message
 * that it handles later than the data that follows it: at first data comes from a host who is, to
 * all that read and poll say, not there. */
enum host { HOST_ABSENT, HOST_ASSUMED, HOST_PRESENT };

struct port_status port;
static enum host host;

/* Edge-triggered: a virtio-serial port without a host is at POLLHUP all the time and a
 * level-triggered watch would spin. The driver wakes its wait queue when the host comes, goes,
 * sends and takes, so each of these is one edge. */
enum { EDGES = EPOLLIN | EPOLLOUT | EPOLLRDHUP };

static void stream_ready(struct watch *watch, uint32_t events);
static void listener_ready(struct watch *watch, uint32_t events);
static void retry_fired(struct timer *timer);
static void absence_fired(struct timer *timer);

static struct watch stream = { .fd = -1, .ready = stream_ready };
static struct watch listener = { .fd = -1, .ready = listener_ready };
static struct timer retry = { .fired = retry_fired };
static struct timer absence = { .fired = absence_fired };

static void stream_ready(struct watch *watch, uint32_t events)
{
	(void)watch;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR))
		port.readable = true;
	if (events & EPOLLOUT)
		port.writable = true;
	if (!(events & EPOLLHUP))
		host = HOST_PRESENT;
}

static void retry_fired(struct timer *timer)
{
	(void)timer;
	port.writable = true;
}

/* An assumed host had time enough to be announced: look once more. */
static void absence_fired(struct timer *timer)
{
	(void)timer;
	if (host == HOST_ASSUMED)
		host = HOST_PRESENT;
	port.readable = true;
}

static bool find_serial(const char *wanted, char *device, size_t size)
{
	for (int i = 0; i < SERIAL_DEVICES; i++) {
		for (int j = 0; j < SERIAL_PORTS; j++) {
			char path[64], name[64];

			snprintf(path, sizeof path, "/sys/class/virtio-ports/vport%dp%d/name", i, j);
			if (file_read_line(path, name, sizeof name) > 0 && strcmp(name, wanted) == 0) {
				snprintf(device, size, "/dev/vport%dp%d", i, j);
				return true;
			}
		}
	}
	return false;
}

int port_open_shares(struct err *err)
{
	char device[32];
	int fd;

	/* Its name came with that of the agent's port, or it never comes. */
	if (!find_serial(PORT_NAME_SHARES, device, sizeof device))
		return err_set(err, ERR_IO, 0, "no virtio-serial port named " PORT_NAME_SHARES);
	fd = open(device, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? err_set(err, ERR_IO, errno, "%s", device) : fd;
}

int port_open_serial(struct err *err)
{
	uint64_t deadline = now_ms() + SERIAL_WAIT_MS;
	char device[32];

	/* The port's name arrives by a message of its own some time after the device. */
	while (!find_serial(PORT_NAME, device, sizeof device))
		if (!uevent_wait(deadline))
			return err_set(err, ERR_IO, 0, "no virtio-serial port named " PORT_NAME);
	stream.fd = open(device, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (stream.fd < 0)
		return err_set(err, ERR_IO, errno, "%s", device);
	return 0;
}

int port_open_vsock(struct err *err)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_port = PORT_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
	};
	AUTO_FD fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_set(err, ERR_IO, errno, "vsock");
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4) < 0)
		return err_set(err, ERR_IO, errno, "vsock port %d", PORT_VSOCK);
	listener.fd = fd_take(&fd);
	return 0;
}

int port_watch(void)
{
	/* The flags of the earlier loop are void. */
	stream.events = listener.events = 0;
	if (stream.fd >= 0 && !watch_set(&stream, EDGES | EPOLLET))
		return -1;
	if (listener.fd >= 0 && !watch_set(&listener, EPOLLIN))
		return -1;
	return 0;
}

void port_close(void)
{
	watch_close(&stream);
	watch_close(&listener);
}

static void hang_up(void)
{
	port.readable = port.writable = false;
	host = HOST_ABSENT;
	if (listener.fd >= 0)
		watch_close(&stream);
}

static void listener_ready(struct watch *watch, uint32_t events)
{
	AUTO_FD fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	/* One host at a time. The newest wins: after a restore the old connection is dead without
	 * this side being told. */
	hang_up();
	stream.fd = fd_take(&fd);
	if (!watch_set(&stream, EDGES | EPOLLET))
		watch_close(&stream);
}

ssize_t port_read(void *bytes, size_t length)
{
	ssize_t got;

	if (stream.fd < 0) {
		port.readable = false;
		return -1;
	}
	got = read(stream.fd, bytes, length);
	if (got > 0) {
		if (host == HOST_ABSENT)
			host = HOST_ASSUMED;
		return got;
	}
	port.readable = false;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (host == HOST_ASSUMED && listener.fd < 0) {
		timer_arm(&absence, ABSENCE_MS);
		return 0;
	}
	hang_up();
	return -1;
}

ssize_t port_write_piece(int fd, const void *bytes, size_t length)
{
	ssize_t written = -1;

	for (size_t most = WRITE_MAX; most >= WRITE_SMALL; most /= 4) {
		written = write(fd, bytes, length > most ? most : length);
		if (written >= 0 || errno != ENOMEM)
			break;
	}
	return written;
}

ssize_t port_write(const void *bytes, size_t length)
{
	ssize_t written;

	if (stream.fd < 0) {
		port.writable = false;
		return -1;
	}
	written = port_write_piece(stream.fd, bytes, length);
	if (written > 0)
		return written;
	port.writable = false;
	if (written < 0 && errno == ENOMEM)
		timer_arm(&retry, RETRY_MS);
	/* A host that went is noticed by reading. */
	return 0;
}
