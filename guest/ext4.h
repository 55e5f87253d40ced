/* How large an ext2, ext3 or ext4 file system is. Pure, no I/O. */
#ifndef BANGER_EXT4_H
#define BANGER_EXT4_H

#include <stdbool.h>
#include <stdint.h>

enum { EXT4_SUPER_OFFSET = 1024, EXT4_SUPER_BYTES = 1024 };

struct ext4_size {
	uint64_t block_bytes, blocks;
};

/* False if that is no superblock. */
bool ext4_size_parse(const uint8_t super[EXT4_SUPER_BYTES], struct ext4_size *size);

#endif
