/* The command line of the keeper. */
#ifndef BANGER_KEEPER_OPTIONS_H
#define BANGER_KEEPER_OPTIONS_H

#include "keeper_address.h"

#include <stdbool.h>

struct options {
	bool hold;                                  /* be in the adopted namespaces, and nothing else */
	int listener;                               /* listening socket for requests */
	int user_namespace, network_namespace;      /* of a keeper that died; -1: make new ones */
	const char *nft, *tun;                      /* paths */
	struct guests guests;
};

/* Ends the program if the options are wrong. */
void options_read(int count, char **arguments, struct options *options);

#endif
