/* Ending TCP connections whose other end knows a guest, but not this one. */
#ifndef BANGER_TCP_RESET_H
#define BANGER_TCP_RESET_H

/* Every connection but those within the guest. Who waits for one is told at once. What cannot be
 * done is told on the console. */
void tcp_reset_all(void);

#endif
