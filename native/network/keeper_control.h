/* The socket of the keeper: who may ask, one request and one answer at a time, nobody can make it wait. */
#ifndef BANGER_KEEPER_CONTROL_H
#define BANGER_KEEPER_CONTROL_H

#include "keeper_address.h"

/* Serves for ever. */
void control_serve(int listener, const struct guests *guests) __attribute__((noreturn));

#endif
