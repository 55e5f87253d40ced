/* Published ports: sockets of the host whose connections and datagrams go to a port of a guest. Owns the table. */
#ifndef BANGER_RELAY_PUBLISH_H
#define BANGER_RELAY_PUBLISH_H

#include "relay_flow.h"
#include "relay_machine.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { PUBLICATIONS_MOST = 4096 };

struct publication {
	struct mortal mortal;
	struct link link;
	char id[KEY_LENGTH + 1];
	struct machine *machine;
	enum flow_kind kind;
	uint16_t port; /* of the guest */
	bool v6;       /* the socket is of AF_INET6, and may serve IPv4 as well */
	struct watch socket;
};

/* The addresses that connections into guests come from; how many ports may be published. */
void publications_open(const struct in6_addr *gateway_v4, const struct in6_addr *gateway_v6, size_t most);

/* Takes the descriptor if it succeeds. Otherwise the answer is why not, for the one who asked; NULL: it succeeded. */
const char *publication_add(const char *id, struct machine *machine, enum flow_kind kind, uint16_t port, int socket);

/* False: there is none. Connections through it go on; for datagrams there is no way any more. */
bool publication_remove(const char *id);
void publications_remove_of(struct machine *machine);

/* The first for NULL; NULL after the last. */
struct publication *publication_after(const struct publication *publication);

/* Ports that had to wait for descriptors go on. True: some did. */
bool publications_tick(void);

/* The machine is awake: connections that waited for it are made. */
void publications_wake(struct machine *machine);

/* For relay_udp: the guest's address and port; false: the machine has no address. */
bool publication_target(const struct publication *publication, struct endpoint *target);

/* The address that a connection to this target comes from, with any port. */
struct endpoint publication_source(const struct endpoint *target);

/* Sends a datagram to a client, from the address that it sent to. */
ssize_t publication_answer(const struct publication *publication, const struct endpoint *client,
			   const struct endpoint *met, const char *bytes, size_t length);

#endif
