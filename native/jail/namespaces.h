/* Namespaces for the program alone: the program cannot reach what it cannot name. */
#ifndef BANGER_NAMESPACES_H
#define BANGER_NAMESPACES_H

/* Enters new namespaces; `kinds` are CLONE_NEW... flags. In a user namespace the user keeps its number. */
void namespaces_enter(int kinds);

/* After a new pid namespace: returns only in a child, which is the first process of the namespace and a child of the
 * calling process's parent. The calling process writes the child's id, as the parent sees it, to `report`, and ends. */
void namespaces_descend(int report);

#endif
