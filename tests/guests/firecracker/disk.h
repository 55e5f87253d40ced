/* The root disk: the first block device. */
#ifndef DISK_H
#define DISK_H

#include <stdint.h>

enum { DISK_NONE = 255 };

/* Reads this sector. The device's answer: 0 if it was read, 1 after a failure, 2 if that cannot be asked for; DISK_NONE if
 * there is no disk. */
uint8_t disk_read(uint64_t sector);

#endif
