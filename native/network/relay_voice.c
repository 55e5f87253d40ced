#include "relay_voice.h"

#include "relay_keeper.h"

#include <sys/socket.h>
#include <unistd.h>

enum { VOICES = 16 };

struct voice {
	struct endpoint server;
	int socket; /* -1: none yet */
	bool asked;
	unsigned long used; /* the larger, the later */
};

static struct voice voices[VOICES];
static unsigned long uses;
static void (*on_arrival)(void);

void voices_open(void (*came)(void))
{
	on_arrival = came;
	for (size_t i = 0; i < VOICES; i++)
		voices[i].socket = -1;
}

static struct voice *find(const struct endpoint *server)
{
	for (size_t i = 0; i < VOICES; i++)
		if ((voices[i].asked || voices[i].socket >= 0) && endpoint_same(&voices[i].server, server))
			return &voices[i];
	return NULL;
}

static struct voice *oldest(void)
{
	struct voice *oldest = &voices[0];

	for (size_t i = 1; i < VOICES; i++)
		if (voices[i].used < oldest->used)
			oldest = &voices[i];
	return oldest;
}

static void arrived(void *context, struct packet *answer)
{
	struct voice *voice = context;
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	voice->asked = false;
	if (answer)
		voice->socket = packet_take(answer, 0);
	if (voice->socket >= 0) {
		/* It comes connected to one guest, and is to answer all. */
		(void)connect(voice->socket, &nobody, sizeof nobody);
	}
	on_arrival();
}

static struct voice *replace_oldest(const struct endpoint *server)
{
	struct voice *voice = oldest();

	keeper_forget(voice);
	if (voice->socket >= 0)
		close(voice->socket);
	*voice = (struct voice){.server = *server, .socket = -1};
	return voice;
}

enum voice_state voice_find(const struct endpoint *server, const struct endpoint *guest)
{
	char server_text[ADDRESS_TEXT], guest_text[ADDRESS_TEXT];
	struct voice *voice = find(server);

	if (!voice) {
		voice = replace_oldest(server);
		voice->asked = keeper_ask(arrived, voice, "udp %s %u %s %u", address_write(&server->host, server_text),
					  server->port, address_write(&guest->host, guest_text), guest->port);
	}
	voice->used = ++uses;
	if (voice->socket >= 0)
		return VOICE_READY;
	return voice->asked ? VOICE_LATER : VOICE_NEVER;
}

void voice_say(const struct endpoint *server, const struct endpoint *guest, const uint8_t *bytes, size_t length)
{
	const struct voice *voice = find(server);
	union socket_address to;
	socklen_t to_length = endpoint_to(guest, &to);

	if (voice && voice->socket >= 0)
		(void)sendto(voice->socket, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL, &to.any, to_length);
}
