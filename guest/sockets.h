#ifndef BANGER_SOCKETS_H
#define BANGER_SOCKETS_H

#include "fields.h"

/* One PORT field for each listening TCP and bound UDP socket. */
void sockets_put(struct field_writer *fields);

#endif
