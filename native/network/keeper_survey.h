/* What the kernel knows of the taps of an earlier keeper: keys from the aliases of interfaces, networks from rules,
 * addresses from routes. */
#ifndef BANGER_KEEPER_SURVEY_H
#define BANGER_KEEPER_SURVEY_H

#include "keeper_taps.h"

/* Fills in the taps, all closed, and their number; removes rules and routes that are one half of a membership. False with
 * errno. */
bool survey(struct tap taps[TAPS_MOST], size_t *count);

#endif
