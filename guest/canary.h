/* What guards the agent's stack, made anew in a clone. */
#ifndef BANGER_CANARY_H
#define BANGER_CANARY_H

/* To be called once the random number generator has something of the clone's own. */
void canary_want_new(void);
/* Makes it, if it is wanted. Only for main between two rounds: a function that was entered before and
 * returns afterwards takes its stack for broken. */
void canary_round(void);

#endif
