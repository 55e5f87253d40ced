/* Sockets at which the echo requests of guests to the outside arrive, and over which they are answered. The kernel
 * answers those to the gateway itself. */
#ifndef BANGER_KEEPER_ECHO_H
#define BANGER_KEEPER_ECHO_H

#include <stddef.h>

enum { ECHOES = 2 };

/* What is sent over these sockets has this mark; no rule of routing is about it. Without it, an answer in the name of the
 * outside is the kernel's, which would answer for every address. */
enum { ECHO_MARK = 2 };

/* A host may refuse them: then nothing of the outside answers. */
void echoes_open(void);

/* Fills in those that are there, at most ECHOES, and returns their number. They belong to this module. */
size_t echoes_descriptors(int *out);

#endif
