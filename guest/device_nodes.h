/* Devices whose drivers are modules that nobody has loaded yet. */
#ifndef BANGER_DEVICE_NODES_H
#define BANGER_DEVICE_NODES_H

/* Makes in /dev what the list (modules.devname of the kernel) has, so that opening it loads its
 * module. No list: nothing is made. */
void device_nodes_make(const char *list);

#endif
