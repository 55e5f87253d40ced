/* What the relay gives up before it hears of the first guest. */
#ifndef BANGER_RELAY_CONFINE_H
#define BANGER_RELAY_CONFINE_H

/* Raises the limit of descriptors to `wanted` if that is allowed; the limit that then holds, for good. */
unsigned long confine_descriptors(unsigned long wanted);

/* No new privileges, no capabilities, no core, bounded memory, nothing for other processes to look at, and of the file
 * system only the files of the host's configuration, where the addresses of the resolvers are. Exits if that fails; a kernel
 * without Landlock leaves the file system as it is. */
void confine(void);

#endif
