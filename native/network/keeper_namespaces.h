/* The network namespace of the guests, and the user namespace in which the keeper may rule it. */
#ifndef BANGER_KEEPER_NAMESPACES_H
#define BANGER_KEEPER_NAMESPACES_H

#include <stdbool.h>

/* Enters new namespaces, or with descriptors those of a keeper that died. In the user namespace, the user is root.
 * Root has no need of a user namespace, and does without if the host refuses one. */
void namespaces_enter(int user, int network);

/* Descriptors of both, the user namespace first. They belong to this module. */
void namespaces_descriptors(int out[2]);

/* The kernel's settings for the network: it forwards, and no guest can change the routes of the others. */
void namespaces_settle(void);

/* Gives up every capability but those that the network needs (or with `wholly` all of them), and all privileges that a
 * program could give. */
void namespaces_confine(bool wholly);

#endif
