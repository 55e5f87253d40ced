#include "ext4.h"

#include "wire.h"

enum {
	MAGIC_AT = 0x38,
	MAGIC = 0xEF53,
	BLOCKS_AT = 0x04,
	BLOCKS_HIGH_AT = 0x150,
	BLOCK_SHIFT_AT = 0x18, /* 0: blocks of 1 KiB */
	BLOCK_SHIFT_MAX = 6,
	INCOMPATIBLE_AT = 0x60,
	INCOMPATIBLE_64BIT = 0x80,
};

bool ext4_size_parse(const uint8_t super[EXT4_SUPER_BYTES], struct ext4_size *size)
{
	uint32_t shift = load32(super + BLOCK_SHIFT_AT);

	if (load16(super + MAGIC_AT) != MAGIC || shift > BLOCK_SHIFT_MAX)
		return false;
	size->block_bytes = UINT64_C(1024) << shift;
	size->blocks = load32(super + BLOCKS_AT);
	if (load32(super + INCOMPATIBLE_AT) & INCOMPATIBLE_64BIT)
		size->blocks |= (uint64_t)load32(super + BLOCKS_HIGH_AT) << 32;
	return true;
}
