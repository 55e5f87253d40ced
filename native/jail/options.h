/* The command line. README.md explains each option. */
#ifndef BANGER_OPTIONS_H
#define BANGER_OPTIONS_H

#include "jail.h"

/* Fills `jail` from the arguments up to `--`; after `--` comes the program. Exits if an argument is wrong. */
void options_read(int argc, char **argv, struct jail *jail);

#endif
