/* What is in a file system, as a list. */
#ifndef BANGER_TREE_H
#define BANGER_TREE_H

/* Writes an entry to stdout for all that is below the directory, whose descriptor it takes over. Returns 0, or 1
 * after a failure, which stderr tells. */
int tree_write(int fd);

#endif
