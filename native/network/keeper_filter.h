/* What guests may send at all, and what goes to the relay: rules of nftables, loaded once. */
#ifndef BANGER_KEEPER_FILTER_H
#define BANGER_KEEPER_FILTER_H

#include "keeper_address.h"
#include "keeper_sockets.h"

/* Loads the rules with the program `nft`, in place of those of an earlier keeper. False with errno, and with what nft says
 * on stderr. */
bool filter_load(const char *nft, const struct guests *guests, const struct listener_ports *ports);

#endif
