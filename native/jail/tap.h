/* A tap for a program that can only open one by its name: see README.md. */
#ifndef BANGER_JAIL_TAP_H
#define BANGER_JAIL_TAP_H

#define TAP_DEVICE "/dev/net/tun"

/* The first request of this process to become the owner of a tap (TUNSETIFF, of any name) is answered with `tap`, in
 * place of the descriptor that the request was made of; further ones fail. The filter stays for the program; the
 * process that answers ends after its answer, or with the program, and shows none of the program's `words`. */
void tap_lend(int tap, char **words);

#endif
