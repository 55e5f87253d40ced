/* Questions of guests for names in datagrams, whatever server they ask: hands them to the resolver (dns.h), and its
 * answers back. */
#ifndef BANGER_RELAY_DNS_H
#define BANGER_RELAY_DNS_H

#include "dns.h"
#include "relay_address.h"
#include "relay_machine.h"

#include <stddef.h>

enum { DNS_PORT = 53 };

void dns_open(void);

/* A datagram of the guest at `guest` for the server `server`, which the answer comes from. */
void dns_take_datagram(struct machine *machine, const struct endpoint *guest, const struct endpoint *server,
		       const char *bytes, size_t length);

/* The machine as the resolver sees it, for now. */
struct dns_machine dns_machine_of(const struct machine *machine);

/* An id that a stranger cannot guess. */
uint16_t dns_random_id(void);

#endif
