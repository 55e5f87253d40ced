/* A small stock of TCP sockets in the network of the guests, for connections from outside into guests. */
#ifndef BANGER_RELAY_STOCK_H
#define BANGER_RELAY_STOCK_H

#include <stdbool.h>

/* `came` is called when sockets arrived that had been missing. */
void stock_open(void (*came)(void));

/* A socket for this family, -1 if there is none yet. Orders more of them. */
int stock_take(bool v4);

#endif
