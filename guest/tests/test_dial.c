#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "dial.h"
#include "exec_io.h"
#include "fields.h"
#include "loop.h"
#include "out.h"
#include "wire.h"

enum { CHANNEL = 7, ROUNDS_MAX = 1000, STAGE_BYTES = 32768, LONG_BYTES = 3000000 };

/* The one exec that there is. */
static struct exec *only;

struct exec *exec_at(size_t index)
{
	return index ? NULL : only;
}

void exec_forget(struct exec *exec)
{
	dial_reset(exec);
	timer_cancel(&exec->timeout);
	watch_close(&exec->start);
	input_close(exec);
	output_close(exec, &exec->outputs[0]);
	stream_free(&exec->outputs[0].stream);
	free(exec);
	only = NULL;
}

static int listen_at(const char *host, int family, uint16_t *port)
{
	struct sockaddr_storage address = { .ss_family = (sa_family_t)family };
	socklen_t length = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	void *place = family == AF_INET ? (void *)&((struct sockaddr_in *)&address)->sin_addr
					: (void *)&((struct sockaddr_in6 *)&address)->sin6_addr;
	int on = 1, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(inet_pton(family, host, place) == 1);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0) {
		close(fd);
		return -1; /* this machine has no IPv6 */
	}
	CHECK(listen(fd, 4) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
	*port = ntohs(family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
					: ((struct sockaddr_in6 *)&address)->sin6_port);
	return fd;
}

static struct exec *exec_with(uint32_t channel)
{
	only = calloc(1, sizeof *only);
	CHECK(only);
	only->channel = channel;
	only->input.watch.fd = only->outputs[0].watch.fd = only->outputs[1].watch.fd = -1;
	return only;
}

static bool is_settled(void)
{
	const uint8_t *at;

	return out_peek(&at) > 0;
}

/* Dials and waits for the answer. Returns its type; the exec is gone after a FAIL. */
static int dial_and_wait(uint16_t port)
{
	struct exec *exec = exec_with(CHANNEL);
	struct frame frame = { 0 };
	const uint8_t *at;
	struct err err;

	out_clear();
	if (dial_begin(exec, port, &err) < 0) {
		CHECK(err.code == ERR_REFUSED);
		exec_forget(exec);
		return FRAME_FAIL;
	}
	for (int i = 0; i < ROUNDS_MAX && !is_settled(); i++)
		loop_round();
	CHECK(out_peek(&at) >= FRAME_HEADER && frame_header_parse(at, &frame) && frame.channel == CHANNEL);
	return frame.type;
}

static void send_data(struct exec *exec, uint64_t offset, const void *bytes, size_t length)
{
	static uint8_t payload[8 + STREAM_DATA_MAX];
	struct frame frame = { .type = FRAME_DATA, .channel = CHANNEL, .length = (uint32_t)(8 + length), .payload = payload };

	store64(payload, offset);
	memcpy(payload + 8, bytes, length);
	exec_io_take(exec, &frame);
}

static void send_offset(struct exec *exec, uint8_t type, uint8_t stream, uint64_t offset)
{
	uint8_t payload[8];
	struct frame frame = { .type = type, .flags = stream, .channel = CHANNEL, .length = 8, .payload = payload };

	store64(payload, offset);
	exec_io_take(exec, &frame);
}

/* What the agent tells of a connection, in the order in which it tells. */
struct told {
	uint64_t bytes, credited;
	bool eof, exited;
	int64_t exit_code;
};

static void hear(struct told *told, const uint8_t *at, size_t length)
{
	struct frame frame;
	struct fields fields;

	while (length) {
		CHECK(length >= FRAME_HEADER && frame_header_parse(at, &frame) && !told->exited);
		at += FRAME_HEADER;
		CHECK(frame.length <= length - FRAME_HEADER);
		if (frame.type == FRAME_DATA) {
			CHECK(frame.flags == STREAM_STDOUT && !told->eof && load64(at) == told->bytes);
			told->bytes += frame.length - 8;
		} else if (frame.type == FRAME_EOF) {
			CHECK(frame.flags == STREAM_STDOUT && load64(at) == told->bytes);
			told->eof = true;
		} else if (frame.type == FRAME_CREDIT) {
			told->credited = load64(at);
		} else {
			CHECK(frame.type == FRAME_EXIT && fields_parse(&fields, at, frame.length));
			told->exit_code = fields_int(&fields, TAG_EXIT_CODE, -1);
			told->exited = true;
		}
		at += frame.length;
		length -= FRAME_HEADER + frame.length;
	}
}

/* One round of the agent, without waiting if nothing can come. */
static void go_round(struct exec *exec, struct told *told)
{
	static uint8_t stage[STAGE_BYTES];
	size_t length;

	loop_hurry();
	loop_round();
	while ((length = exec_io_emit(exec, stage, sizeof stage)))
		hear(told, stage, length);
}

static void go_until(struct exec *exec, struct told *told, const bool *happened)
{
	for (int i = 0; i < ROUNDS_MAX && !*happened; i++) {
		go_round(exec, told);
		usleep(1000);
	}
	CHECK(*happened);
}

static void a_loopback_service_is_reached(const char *host, int family)
{
	uint16_t port = 0;
	struct told told = { 0 };
	char heard[16] = "";
	int listener = listen_at(host, family, &port), peer;

	if (listener < 0)
		return;
	CHECK(dial_and_wait(port) == FRAME_OK);
	peer = accept(listener, NULL, NULL);
	send_data(only, 0, "question", 8);
	send_offset(only, FRAME_EOF, STREAM_STDIN, 8);
	/* The end is heard, and the other direction goes on. */
	CHECK(recv(peer, heard, sizeof heard, MSG_WAITALL) == 8 && memcmp(heard, "question", 8) == 0);
	CHECK(only->state == EXEC_RUNNING);
	CHECK(send(peer, "answer", 6, 0) == 6);
	close(peer);
	go_until(only, &told, &told.exited);
	CHECK(told.eof && told.bytes == 6 && told.credited == 8 && told.exit_code == 0);
	exec_forget(only);
	close(listener);
}

static void a_port_without_a_service_is_refused(void)
{
	uint16_t port = 0;
	int listener = listen_at("127.0.0.1", AF_INET, &port);

	close(listener);
	CHECK(dial_and_wait(port) == FRAME_FAIL && !only);
}

static void a_reset_is_no_end_of_bytes(void)
{
	struct linger reset = { .l_onoff = 1 };
	uint16_t port = 0;
	struct told told = { 0 };
	int listener = listen_at("127.0.0.1", AF_INET, &port), peer;

	CHECK(dial_and_wait(port) == FRAME_OK);
	peer = accept(listener, NULL, NULL);
	setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(peer);
	go_until(only, &told, &told.exited);
	CHECK(!told.eof && told.exit_code == DIAL_BROKEN);
	exec_forget(only);
	close(listener);
}

static void who_is_forgotten_hears_a_reset(void)
{
	uint16_t port = 0;
	char byte;
	int listener = listen_at("127.0.0.1", AF_INET, &port), peer;

	CHECK(dial_and_wait(port) == FRAME_OK);
	peer = accept(listener, NULL, NULL);
	exec_forget(only);
	CHECK(recv(peer, &byte, 1, 0) < 0 && errno == ECONNRESET);
	close(peer);
	close(listener);
}

/* A host that gives no credit holds up the service, and costs one window of memory. */
static void a_slow_host_is_waited_for(void)
{
	static uint8_t zeros[65536];
	uint16_t port = 0;
	struct told told = { 0 };
	size_t sent = 0;
	int listener = listen_at("127.0.0.1", AF_INET, &port), peer;

	CHECK(dial_and_wait(port) == FRAME_OK);
	peer = accept(listener, NULL, NULL);
	for (int i = 0; i < ROUNDS_MAX; i++) {
		ssize_t took = sent < LONG_BYTES ? send(peer, zeros, sizeof zeros, MSG_DONTWAIT) : 0;

		sent += took > 0 ? (size_t)took : 0;
		go_round(only, &told);
		CHECK(stream_held(&only->outputs[0].stream) <= STREAM_WINDOW);
	}
	CHECK(told.bytes == STREAM_WINDOW && sent > STREAM_WINDOW);
	close(peer);
	for (int i = 0; i < ROUNDS_MAX && !told.exited; i++) {
		send_offset(only, FRAME_CREDIT, STREAM_STDOUT, told.bytes);
		go_round(only, &told);
		if (told.eof)
			send_offset(only, FRAME_EOF, STREAM_STDIN, 0);
	}
	CHECK(told.exited && told.bytes == sent);
	exec_forget(only);
	close(listener);
}

static void candidates_end(void)
{
	struct sockaddr_storage address;
	size_t count = 0;

	while (dial_candidate(count, 80, &address))
		count++;
	CHECK(count >= 2 && count <= 18);
}

void test_dial(void)
{
	CHECK(loop_open() == 0);
	candidates_end();
	a_loopback_service_is_reached("127.0.0.1", AF_INET);
	a_loopback_service_is_reached("::1", AF_INET6);
	a_port_without_a_service_is_refused();
	a_reset_is_no_end_of_bytes();
	who_is_forgotten_hears_a_reset();
	a_slow_host_is_waited_for();
	out_clear();
	loop_close();
}
