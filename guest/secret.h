/* Secrets of the machine: files and variables that are in the guest's memory alone. */
#ifndef BANGER_SECRET_H
#define BANGER_SECRET_H

#include <stddef.h>

#include "verbs.h"

/* Keeps one secret. Answers when it is where it belongs. */
void secret(const struct request *request);

/* The secrets that are variables, `K=V` each with a NUL at its end, in fresh memory; for root alone. NULL if there are
 * none. They are read anew for each command, so that an agent that was started again has them, too. */
char *secret_variables(size_t *length);

#endif
