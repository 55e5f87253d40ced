/* The stream to the agent: the greeting is found behind anything, messages come whole, and nonsense ends it. */
#include "../channel.h"

#include "../share.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static uint8_t said[2 * MESSAGE_MOST];

static void read_whole(int descriptor, uint8_t *bytes, size_t length)
{
	while (length) {
		ssize_t got = read(descriptor, bytes, length);

		assert(got > 0);
		bytes += got;
		length -= (size_t)got;
	}
}

/* What a server says first: bytes without a meaning, as many as the longest message has, then its greeting. */
static void hear_greeting(int agent, uint8_t greeting[GREETING_BYTES])
{
	size_t silence = HEAD_BYTES + MESSAGE_MOST + TAIL_BYTES;

	read_whole(agent, said, silence + GREETING_BYTES);
	for (size_t i = 0; i < silence; i++)
		assert(!said[i]);
	memcpy(greeting, said + silence, GREETING_BYTES);
}

static void send_message(int agent, uint32_t length, uint16_t mount, uint16_t kind, const char *bytes)
{
	uint8_t head[HEAD_BYTES];

	memcpy(head, &length, 4);
	memcpy(head + 4, &mount, 2);
	memcpy(head + 6, &kind, 2);
	assert(write(agent, head, sizeof head) == sizeof head);
	assert(write(agent, bytes, strlen(bytes)) == (ssize_t)strlen(bytes));
}

static void be_the_agent(int agent)
{
	uint8_t greeting[GREETING_BYTES];

	hear_greeting(agent, greeting);
	/* What was for an earlier server: half a message, and the beginning of a greeting. */
	assert(write(agent, "left over", 9) == 9 && write(agent, greeting, 20) == 20);
	for (size_t i = 0; i < GREETING_BYTES; i++)
		assert(write(agent, greeting + i, 1) == 1);
	send_message(agent, 5, 3, KIND_FUSE, "hello");
	read_whole(agent, said, HEAD_BYTES + 2 + TAIL_BYTES);
	assert(memcmp(said, "\2\0\0\0\3\0\1\0ok\xe0" "end", HEAD_BYTES + 2 + TAIL_BYTES) == 0);
	send_message(agent, MESSAGE_MOST + 1, 0, KIND_FUSE, "");
	_exit(0);
}

int main(void)
{
	struct channel channel;
	struct message message;
	int ends[2], status;

	assert(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	pid_t agent = fork();
	if (agent == 0)
		be_the_agent(ends[1]);
	close(ends[1]);
	assert(channel_open(&channel, ends[0]) && channel_meet(&channel));
	assert(channel_next(&channel, &message));
	assert(message.length == 5 && message.mount == 3 && memcmp(message.bytes, "hello", 5) == 0);
	memcpy(channel_room(&channel), "ok", 2);
	channel_put(&channel, 3, KIND_FUSE, 2);
	assert(!channel_next(&channel, &message));
	channel_close(&channel);
	assert(waitpid(agent, &status, 0) == agent && status == 0);
	return 0;
}
