/* What this kernel lets this user have. */
#ifndef BANGER_PROBE_H
#define BANGER_PROBE_H

/* Tries each layer in a process of its own and prints a line each: `NAME ok`, or `NAME` and why it is refused. */
int probe(void);

#endif
