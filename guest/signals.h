/* Signals as events of the loop: ended children, and requests to go down. */
#ifndef BANGER_SIGNALS_H
#define BANGER_SIGNALS_H

/* Also after a fork: a signalfd in epoll belongs to the process that put it there. */
int signals_open(void);
/* Forgets the descriptor, where the process is about to be something else. */
void signals_close(void);

#endif
