/* Which layers this kernel allows this user. */
#ifndef BANGER_PROBE_H
#define BANGER_PROBE_H

/* Tries each layer in a process of its own, and prints one line per layer: `NAME ok`, or `NAME` and the reason. */
int probe(void);

#endif
