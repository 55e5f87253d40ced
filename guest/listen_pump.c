#include "listen.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "files.h"
#include "wire.h"

enum {
	HEAD = 8,
	PIECE_MAX = 32768,
	WINDOW = 131072, /* bytes of one connection and direction that nobody has taken yet */
	CREDIT_STEP = WINDOW / 4,
	LINES_MAX = 64,
	PEER_MAX = 80,
	OUT_SIZE = 2 * (HEAD + PIECE_MAX),
	OTHERS = 2, /* stdin and stdout */
	REST_MS = 100,
};

enum kind { READY = 1, OPENED = 2, DATA = 3, END = 4, BROKEN = 5, CREDIT = 6, STOP = 7 };

/* A connection. What the peer said goes to the host at once, as far as the host takes it; what the host said waits here. */
struct line {
	int fd; /* -1: the place is free */
	uint32_t number;
	uint32_t credit; /* bytes that the host still takes */
	uint32_t taken;	 /* bytes of the host that went on, and for which it has no credit yet */
	uint8_t *heard;	 /* WINDOW bytes */
	size_t start, end;
	bool heard_all; /* the host says no more */
	bool passed_on; /* and the peer was told so */
	bool deaf;	/* the peer takes nothing any more, but may still say something */
	bool said_all;	/* the peer says no more */
	bool told;	/* and the host knows */
	bool broken;
	bool may_read, may_write;
};

static struct line lines[LINES_MAX];
static size_t open_lines, first;
static uint32_t latest;
static bool resting, stopping;

static uint8_t in[HEAD + PIECE_MAX], out[OUT_SIZE];
static size_t in_end, out_at, out_end;

static bool may_come_later(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static size_t out_room(void)
{
	if (out_at) {
		memmove(out, out + out_at, out_end - out_at);
		out_end -= out_at;
		out_at = 0;
	}
	return OUT_SIZE - out_end;
}

/* Whoever calls has made sure that there is room. */
static void put_head(enum kind kind, uint32_t number, size_t length)
{
	store16(out + out_end, (uint16_t)kind);
	store16(out + out_end + 2, (uint16_t)length);
	store32(out + out_end + 4, number);
	out_end += HEAD + length;
}

static bool put(enum kind kind, uint32_t number, const void *bytes, size_t length)
{
	if (out_room() < HEAD + length)
		return false;
	if (length)
		memcpy(out + out_end + HEAD, bytes, length);
	put_head(kind, number, length);
	return true;
}

static void line_close(struct line *line)
{
	fd_close(&line->fd);
	free(line->heard);
	line->heard = NULL;
	open_lines--;
}

/* The peer hears of a reset, and not of an end. */
static void line_reset(struct line *line)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(line->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	line_close(line);
}

static struct line *line_of(uint32_t number)
{
	for (size_t i = 0; i < LINES_MAX; i++)
		if (lines[i].fd >= 0 && lines[i].number == number)
			return &lines[i];
	return NULL;
}

static struct line *free_line(void)
{
	for (size_t i = 0; i < LINES_MAX; i++)
		if (lines[i].fd < 0)
			return &lines[i];
	return NULL;
}

/* "ADDRESS PORT", or nothing for a Unix socket. */
static void write_peer(const struct sockaddr_storage *from, socklen_t length, char text[PEER_MAX])
{
	char host[56], port[8];

	text[0] = 0;
	if (from->ss_family != AF_UNIX &&
	    getnameinfo((const struct sockaddr *)from, length, host, sizeof host, port, sizeof port,
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(text, PEER_MAX, "%s %s", host, port);
}

static void take_connection(int listener)
{
	struct sockaddr_storage from = { .ss_family = AF_UNIX };
	socklen_t length = sizeof from;
	struct line *line = free_line();
	char peer[PEER_MAX];
	int on = 1;
	AUTO_FD fd = -1;

	if (!line || out_room() < HEAD + PEER_MAX)
		return;
	fd = accept4(listener, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		/* Without descriptors or memory the next try fails, too: not at once. */
		resting = !may_come_later() && errno != ECONNABORTED;
		return;
	}
	*line = (struct line){ .fd = -1, .number = ++latest, .credit = WINDOW, .heard = malloc(WINDOW) };
	if (!line->heard) {
		latest--;
		return;
	}
	if (from.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	line->fd = fd_take(&fd);
	open_lines++;
	write_peer(&from, length, peer);
	put(OPENED, line->number, peer, strlen(peer));
}

/* From the peer straight to where it leaves. */
static void line_say(struct line *line)
{
	size_t room = out_room(), most = line->credit < PIECE_MAX ? line->credit : PIECE_MAX;
	ssize_t got;

	if (line->said_all || !most || room <= HEAD)
		return;
	got = read(line->fd, out + out_end + HEAD, most < room - HEAD ? most : room - HEAD);
	if (got < 0) {
		line->may_read = false;
		line->broken = !may_come_later();
	} else if (got == 0) {
		line->said_all = true;
	} else {
		line->credit -= (uint32_t)got;
		put_head(DATA, line->number, (size_t)got);
	}
}

static void line_hear(struct line *line)
{
	ssize_t done;

	line->may_write = false;
	if (line->start == line->end)
		return;
	done = write(line->fd, line->heard + line->start, line->end - line->start);
	if (done < 0 && may_come_later())
		return;
	if (done < 0) {
		line->deaf = true;
		done = (ssize_t)(line->end - line->start);
	}
	line->start += (size_t)done;
	line->taken += (uint32_t)done;
}

/* What the host has to be told. False if there was no room for all of it. */
static bool line_tell(struct line *line)
{
	uint8_t taken[4];

	if (line->broken || (line->deaf && line->said_all)) {
		if (!put(BROKEN, line->number, NULL, 0))
			return false;
		line_close(line);
		return true;
	}
	if (line->taken >= CREDIT_STEP) {
		store32(taken, line->taken);
		if (!put(CREDIT, line->number, taken, sizeof taken))
			return false;
		line->taken = 0;
	}
	if (line->said_all && !line->told) {
		if (!put(END, line->number, NULL, 0))
			return false;
		line->told = true;
	}
	return true;
}

/* One turn of a connection. Nothing is left undone but for want of room, of credit, or of the peer. */
static void line_turn(struct line *line)
{
	if (line->may_write)
		line_hear(line);
	if (line->may_read)
		line_say(line);
	if (line->heard_all && line->start == line->end && !line->passed_on) {
		line->passed_on = true;
		shutdown(line->fd, SHUT_WR);
	}
	if (line_tell(line) && line->fd >= 0 && line->told && line->passed_on)
		line_close(line);
}

/* Each has its turn before the others, so that none waits for ever for room. */
static void all_turns(void)
{
	for (size_t i = 0; i < LINES_MAX; i++) {
		struct line *line = &lines[(first + i) % LINES_MAX];

		if (line->fd >= 0)
			line_turn(line);
	}
	first = (first + 1) % LINES_MAX;
}

static bool line_take(struct line *line, const uint8_t *bytes, size_t length)
{
	if (line->heard_all || line->end - line->start + line->taken + length > WINDOW)
		return false;
	if (line->deaf) {
		line->taken += (uint32_t)length;
		return true;
	}
	if (line->end + length > WINDOW) {
		memmove(line->heard, line->heard + line->start, line->end - line->start);
		line->end -= line->start;
		line->start = 0;
	}
	memcpy(line->heard + line->end, bytes, length);
	line->end += length;
	line->may_write = true;
	return true;
}

static bool line_credit(struct line *line, uint32_t more)
{
	if (more > WINDOW - line->credit)
		return false;
	line->credit += more;
	line->may_read = true;
	return true;
}

/* False: that is no message of a host. One for a connection that is gone crossed its end. */
static bool take_message(enum kind kind, uint32_t number, const uint8_t *bytes, size_t length,
			 struct listeners *listeners)
{
	struct line *line = line_of(number);

	if (kind == STOP && !number && !length) {
		stopping = true;
		listeners_close(listeners);
		return true;
	}
	if (!number || number > latest || (kind != DATA && length != (kind == CREDIT ? 4 : 0)))
		return false;
	switch (kind) {
	case DATA:
		return length && (!line || line_take(line, bytes, length));
	case END:
		if (line)
			line->heard_all = true;
		return true;
	case BROKEN:
		if (line)
			line_reset(line);
		return true;
	case CREDIT:
		return !line || line_credit(line, load32(bytes));
	default:
		return false;
	}
}

/* Returns 1 for more, 0 for the end, -1 for what no host says. */
static int take_in(struct listeners *listeners)
{
	ssize_t got = read(0, in + in_end, sizeof in - in_end);
	size_t at = 0;

	if (got <= 0)
		return got < 0 && may_come_later();
	in_end += (size_t)got;
	while (in_end - at >= HEAD) {
		size_t length = load16(in + at + 2);

		if (length > PIECE_MAX)
			return -1;
		if (in_end - at < HEAD + length)
			break;
		if (!take_message(load16(in + at), load32(in + at + 4), in + at + HEAD, length, listeners))
			return -1;
		at += HEAD + length;
	}
	memmove(in, in + at, in_end - at);
	in_end -= at;
	return 1;
}

static bool flush_out(void)
{
	ssize_t done = write(1, out + out_at, out_end - out_at);

	if (done < 0)
		return may_come_later();
	out_at += (size_t)done;
	return true;
}

static short events_of(const struct line *line, size_t room)
{
	bool reads = !line->said_all && line->credit && room > HEAD;

	return (short)((reads ? POLLIN : 0) | (line->start < line->end ? POLLOUT : 0));
}

static void watch_all(const struct listeners *listeners, struct pollfd *watched)
{
	size_t room = out_room();
	bool accepts = open_lines < LINES_MAX && room >= HEAD + PEER_MAX && !resting;

	watched[0] = (struct pollfd){ 0, POLLIN, 0 };
	watched[1] = (struct pollfd){ out_at < out_end ? 1 : -1, POLLOUT, 0 };
	for (size_t i = 0; i < LISTENERS_MAX; i++)
		watched[OTHERS + i] =
			(struct pollfd){ accepts && i < listeners->count ? listeners->fds[i] : -1, POLLIN, 0 };
	for (size_t i = 0; i < LINES_MAX; i++) {
		short events = lines[i].fd >= 0 ? events_of(&lines[i], room) : 0;

		watched[OTHERS + LISTENERS_MAX + i] = (struct pollfd){ events ? lines[i].fd : -1, events, 0 };
	}
}

static void note_ready(const struct pollfd *watched)
{
	for (size_t i = 0; i < LINES_MAX; i++) {
		short seen = watched[i].revents;

		/* Not the connection that another one has left its place to. */
		if (lines[i].fd != watched[i].fd)
			continue;
		lines[i].may_read |= seen & (POLLIN | POLLHUP | POLLERR);
		lines[i].may_write |= seen & (POLLOUT | POLLHUP | POLLERR);
	}
}

static void never_wait(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

int listen_pump(struct listeners *listeners)
{
	struct pollfd watched[OTHERS + LISTENERS_MAX + LINES_MAX];
	int more = 1;

	for (size_t i = 0; i < LINES_MAX; i++)
		lines[i].fd = -1;
	never_wait(0);
	never_wait(1);
	put(READY, 0, listeners->ready, strlen(listeners->ready));
	while (!stopping || open_lines || out_at < out_end) {
		watch_all(listeners, watched);
		if (poll(watched, sizeof watched / sizeof watched[0], resting ? REST_MS : -1) < 0 && errno != EINTR)
			return 1;
		resting = false;
		if (watched[1].revents && !flush_out())
			return 1;
		note_ready(watched + OTHERS + LISTENERS_MAX);
		for (size_t i = 0; i < listeners->count; i++)
			if (watched[OTHERS + i].revents)
				take_connection(listeners->fds[i]);
		if (watched[0].revents)
			more = take_in(listeners);
		if (more <= 0)
			return more ? 1 : 0;
		all_turns();
	}
	return 0;
}
