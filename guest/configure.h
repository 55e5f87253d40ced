#ifndef BANGER_CONFIGURE_H
#define BANGER_CONFIGURE_H

#include "verbs.h"

/* The end of the boot, or a new identity for a guest that runs already. */
void configure(const struct request *request);
/* Clock and random numbers for a guest that stood still. */
void refresh(const struct request *request);

#endif
