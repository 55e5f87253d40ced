/* The command line. See README.md for what each option is for. */
#ifndef BANGER_OPTIONS_H
#define BANGER_OPTIONS_H

#include "jail.h"

/* Fills `jail` from the arguments up to `--`; what follows is the program. Ends the program if they are wrong. */
void options_read(int argc, char **argv, struct jail *jail);

#endif
