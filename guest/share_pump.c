#include "share_pump.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <linux/fuse.h>

#include "files.h"
#include "loop.h"
#include "port.h"
#include "share_stream.h"
#include "wire.h"

enum {
	WAITING_MAX = 128, /* requests that the server has not answered */
	INIT_MAX = 512,
	/* How long requests wait for another server before they fail. */
	GRACE_MS = 30000,
	LOOK_MS = 100,
	/* Of a message of which this much is to come it does not wait for the next piece, but for many. */
	NAP_FROM = 16384,
	NAP_NS_PER_BYTE = 8,
	NAP_MOST_NS = 1000000,
	IN_HEADER = sizeof(struct fuse_in_header),
	IO_FLUSHER = 57, /* a prctl: memory for these requests may not wait for their own end */
};

struct lane {
	struct share_mount mount;
	bool made, readable;
	uint8_t init[INIT_MAX]; /* the first request, which is asked again of the next server */
	size_t init_length;
	size_t waiting_count;
	uint64_t waiting[WAITING_MAX];
};

static struct lane lanes[SHARES_MAX];
static size_t lane_count;
static int port_fd, mounted_fd, events_fd;
static bool readable, writable;
static uint64_t parted_at, look_at;
static volatile sig_atomic_t asked_to_end;

static uint8_t in_buffer[SHARE_WHOLE];
static struct share_reader reader = { .buffer = in_buffer };
static uint8_t out[SHARE_WHOLE];
static size_t out_at, out_end;

static void end_asked(int number)
{
	(void)number;
	asked_to_end = true;
}

static void watch(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events | EPOLLET, .data.fd = fd };

	epoll_ctl(events_fd, EPOLL_CTL_ADD, fd, &event);
}

static void answer_error(const struct lane *lane, uint64_t unique, int number)
{
	struct fuse_out_header header = { .len = sizeof header, .error = -number, .unique = unique };

	if (write(lane->mount.fuse, &header, sizeof header) < 0)
		return; /* nobody waits for it any more */
}

static void answer_failed(const struct lane *lane, uint64_t unique)
{
	answer_error(lane, unique, EIO);
}

static bool is_init(const struct lane *lane, uint64_t unique)
{
	return lane->init_length && load64(lane->init + 8) == unique;
}

/* What a server that is gone has not answered it may have done, or not. */
static void fail_waiting(struct lane *lane)
{
	for (size_t i = 0; i < lane->waiting_count; i++)
		if (!is_init(lane, lane->waiting[i]))
			answer_failed(lane, lane->waiting[i]);
	lane->waiting_count = 0;
}

static void fail_all_waiting(void)
{
	for (size_t i = 0; i < lane_count; i++)
		fail_waiting(&lanes[i]);
}

/* The server is gone. What is in the reader may be the beginning of the next one's greeting. */
static void part(void)
{
	reader.met = false;
	out_at = out_end = 0;
	fail_all_waiting();
	parted_at = now_ms();
}

static bool take_waiting(struct lane *lane, uint64_t unique)
{
	for (size_t i = 0; i < lane->waiting_count; i++) {
		if (lane->waiting[i] != unique)
			continue;
		lane->waiting[i] = lane->waiting[--lane->waiting_count];
		return true;
	}
	return false;
}

static void append(uint16_t mount, uint16_t kind, const void *bytes, size_t length)
{
	share_head_write(out + out_end, (uint32_t)length, mount, kind);
	memcpy(out + out_end + SHARE_HEAD, bytes, length);
	out_end += SHARE_HEAD + length;
}

/* A server came: say that this is the way, who owns its files, and what no server has answered yet. */
static void meet(void)
{
	fail_all_waiting();
	memcpy(out, reader.greeting, SHARE_GREETING);
	out_at = 0;
	out_end = SHARE_GREETING;
	for (size_t i = 0; i < lane_count; i++) {
		uint8_t owner[8];

		store32(owner, lanes[i].mount.user);
		store32(owner + 4, lanes[i].mount.group);
		append((uint16_t)i, SHARE_OWNER, owner, sizeof owner);
		if (!lanes[i].init_length)
			continue;
		append((uint16_t)i, SHARE_FUSE, lanes[i].init, lanes[i].init_length);
		lanes[i].waiting[lanes[i].waiting_count++] = load64(lanes[i].init + 8);
	}
}

static void deliver(const struct share_message *message)
{
	struct lane *lane = &lanes[message->mount];
	uint64_t unique;

	if (message->mount >= lane_count || message->kind != SHARE_FUSE ||
	    message->length < sizeof(struct fuse_out_header))
		return;
	unique = load64(message->bytes + 8);
	if (!take_waiting(lane, unique))
		return;
	if (is_init(lane, unique))
		lane->init_length = 0;
	if (write(lane->mount.fuse, message->bytes, message->length) < 0 && errno == EINVAL)
		answer_failed(lane, unique); /* the kernel does not take this for an answer */
}

static void take_in(void)
{
	struct share_message message;
	enum share_found found;

	while (readable) {
		size_t room;
		uint8_t *at = share_reader_room(&reader, &room);
		ssize_t got = read(port_fd, at, room);

		if (got <= 0) {
			readable = false;
			/* A host that is there may not have been announced yet: see port.c. */
			if (got == 0 && reader.met && !look_at)
				look_at = now_ms() + LOOK_MS;
			return;
		}
		share_reader_filled(&reader, (size_t)got);
		bool was_met = reader.met;
		while ((found = share_reader_next(&reader, &message)) != SHARE_NOTHING) {
			if (found == SHARE_MET)
				meet();
			else
				deliver(&message);
			was_met = reader.met;
		}
		if (was_met && !reader.met)
			part(); /* what was broken off has no other end */
	}
}

static void look_for_host(void)
{
	struct pollfd way = { .fd = port_fd, .events = POLLIN };

	look_at = 0;
	readable = true;
	if (poll(&way, 1, 0) > 0 && way.revents & POLLHUP && reader.met) {
		share_reader_part(&reader);
		part();
	}
}

static void give_out(void)
{
	while (writable && out_at < out_end) {
		ssize_t written = port_write_piece(port_fd, out + out_at, out_end - out_at);

		if (written <= 0) {
			writable = false;
			if (written < 0 && errno == ENOMEM && !look_at)
				look_at = now_ms() + LOOK_MS;
			return;
		}
		out_at += (size_t)written;
	}
}

static bool has_answer(uint32_t opcode)
{
	return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

/* Notes a request that comes from the kernel. False: it is not for the server now. */
static bool note(struct lane *lane, const uint8_t *request, size_t length)
{
	uint32_t opcode = load32(request + 4);
	uint64_t unique = load64(request + 8);

	if (opcode == FUSE_INIT && length <= INIT_MAX) {
		memcpy(lane->init, request, length);
		lane->init_length = length;
	}
	if (!has_answer(opcode))
		return reader.met;
	if (reader.met)
		lane->waiting[lane->waiting_count++] = unique;
	else if (!is_init(lane, unique))
		answer_failed(lane, unique);
	return reader.met;
}

/* The kernel asks for `security.capability` of each file before its first write. There are none but for users. */
static bool asks_in_vain(const uint8_t *request, size_t length)
{
	size_t name = IN_HEADER + sizeof(struct fuse_getxattr_in);

	return load32(request + 4) == FUSE_GETXATTR && length > name + 5 && memcmp(request + name, "user.", 5) != 0;
}

/* The next request of the kernel, put out to the server, or failed where there has been none for long. */
static bool take_request(struct lane *lane)
{
	ssize_t got = read(lane->mount.fuse, out + SHARE_HEAD, SHARE_MESSAGE_MAX);

	if (got < (ssize_t)IN_HEADER) {
		if (got < 0 && (errno == EINTR || errno == ENOENT))
			return true;
		lane->readable = false;
		if (got < 0 && errno == ENODEV)
			lane->made = false; /* somebody in the guest has unmounted it */
		return false;
	}
	if (asks_in_vain(out + SHARE_HEAD, (size_t)got)) {
		answer_error(lane, load64(out + SHARE_HEAD + 8), EOPNOTSUPP);
		return true;
	}
	if (note(lane, out + SHARE_HEAD, (size_t)got)) {
		share_head_write(out, (uint32_t)got, (uint16_t)(lane - lanes), SHARE_FUSE);
		out_at = 0;
		out_end = SHARE_HEAD + (size_t)got;
	}
	return true;
}

static bool may_ask(const struct lane *lane)
{
	bool waited_long = now_ms() - parted_at >= GRACE_MS;

	return lane->made && lane->readable && lane->waiting_count < WAITING_MAX && (reader.met || waited_long);
}

/* In turns, so that no mount keeps the others waiting. */
static bool take_requests(void)
{
	static size_t turn;

	for (size_t i = 0; i < lane_count && out_at == out_end; i++) {
		struct lane *lane = &lanes[turn++ % lane_count];

		if (may_ask(lane) && take_request(lane))
			return true;
	}
	return false;
}

static void work(void)
{
	do {
		take_in();
		give_out();
	} while (out_at == out_end && take_requests());
	give_out();
}

static void take_mounted(void)
{
	uint8_t number;
	ssize_t got;

	while ((got = read(mounted_fd, &number, 1)) == 1)
		if (number < lane_count) {
			lanes[number].made = lanes[number].readable = true;
			watch(lanes[number].mount.fuse, EPOLLIN);
		}
	if (got == 0) {
		close(mounted_fd);
		mounted_fd = -1;
	}
}

static void heard(int fd, uint32_t events)
{
	if (fd == mounted_fd) {
		take_mounted();
		return;
	}
	for (size_t i = 0; i < lane_count; i++)
		if (fd == lanes[i].mount.fuse)
			lanes[i].readable = true;
	if (fd != port_fd)
		return;
	readable |= (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0;
	writable |= (events & EPOLLOUT) != 0;
	if (events & EPOLLHUP && reader.met && !look_at)
		look_at = now_ms() + LOOK_MS;
}

/* Whether a process of the guest's users is there, which may use a mount. Kernel threads have no command line; those
 * that are the agent's are known by their names. */
static bool others_are_there(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	while (proc && !found && (entry = readdir(proc))) {
		char path[64], text[64];
		pid_t pid = atoi(entry->d_name);

		if (!isdigit((unsigned char)entry->d_name[0]) || pid == 1 || pid == getpid())
			continue;
		snprintf(path, sizeof path, "/proc/%.16s/cmdline", entry->d_name);
		if (file_read(path, text, sizeof text) <= 0)
			continue;
		snprintf(path, sizeof path, "/proc/%.16s/comm", entry->d_name);
		found = file_read_line(path, text, sizeof text) > 0 && strncmp(text, "banger-", 7) != 0;
	}
	if (proc)
		closedir(proc);
	return found;
}

/* The host sends pieces of 4 KiB. A wake for each would cost more than the piece. Not twice without a piece between: the
 * sender may have stopped. */
static bool nap(void)
{
	static size_t missed;
	size_t missing = share_reader_missing(&reader);
	struct timespec time = { .tv_nsec = (long)missing * NAP_NS_PER_BYTE };
	bool moved = missing != missed;

	missed = missing;
	if (missing < NAP_FROM || !moved)
		return false;
	if (time.tv_nsec > NAP_MOST_NS)
		time.tv_nsec = NAP_MOST_NS;
	nanosleep(&time, NULL);
	readable = true;
	return true;
}

static int patience_ms(void)
{
	if (nap())
		return 0;
	if (look_at || asked_to_end || !reader.met)
		return LOOK_MS;
	return -1;
}

static bool is_own(int fd)
{
	for (size_t i = 0; i < lane_count; i++)
		if (fd == lanes[i].mount.fuse)
			return true;
	return fd == port_fd || fd == mounted_fd;
}

/* The agent's own descriptors: who waits for the end of a pipe must not wait for this process. */
static void close_others(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	for (int fd = 3; fd < (int)files.rlim_cur; fd++)
		if (!is_own(fd))
			close(fd);
}

static void become_pump(void)
{
	struct sigaction end = { .sa_handler = end_asked };
	sigset_t most;

	close_others();
	setsid();
	prctl(PR_SET_NAME, "banger-share");
	prctl(IO_FLUSHER, 1, 0, 0, 0);
	sigaction(SIGTERM, &end, NULL);
	sigfillset(&most);
	sigdelset(&most, SIGTERM);
	sigprocmask(SIG_SETMASK, &most, NULL);
}

_Noreturn void share_pump(const struct share_mount *mounts, size_t count, int way, int mounted)
{
	struct epoll_event events[SHARES_MAX + 2];

	port_fd = way;
	mounted_fd = mounted;
	for (lane_count = 0; lane_count < count; lane_count++)
		lanes[lane_count].mount = mounts[lane_count];
	become_pump();
	parted_at = now_ms();
	events_fd = epoll_create1(EPOLL_CLOEXEC);
	watch(port_fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
	watch(mounted_fd, EPOLLIN);
	readable = writable = true;
	take_mounted();
	for (;;) {
		int ready = epoll_wait(events_fd, events, SHARES_MAX + 2, patience_ms());

		for (int i = 0; i < ready; i++)
			heard(events[i].data.fd, events[i].events);
		if (look_at && now_ms() >= look_at)
			look_for_host();
		work();
		/* It is there to the last, so that nobody waits for a file that does not come. */
		if (asked_to_end && !others_are_there())
			_exit(0);
	}
}
