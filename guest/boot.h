/* From the kernel's first call of /init to the first wait for the host. */
#ifndef BANGER_BOOT_H
#define BANGER_BOOT_H

/* Returns with the port open; what went wrong with the disks is in agent.boot_error. Without a
 * port there is nobody to tell, and the machine is powered off. */
void boot(void);
/* Another agent.boot_id: each agent that starts has its own. */
void boot_make_id(void);

#endif
