/* Namespaces of its own: what the program cannot name, it cannot reach. */
#ifndef BANGER_NAMESPACES_H
#define BANGER_NAMESPACES_H

/* Enters new ones, of those of CLONE_NEW... in `kinds`. In a user namespace the user keeps the number that it has. */
void namespaces_enter(int kinds);

/* After a new pid namespace: goes on in a child that is the first process of it and a child of our own parent. The
 * calling process writes the child's id, as its parent sees it, to `report`, and ends. */
void namespaces_descend(int report);

#endif
