#include <string.h>

#include "check.h"
#include "ext4.h"
#include "wire.h"

static void put_super(uint8_t *super, uint32_t shift, uint32_t incompatible)
{
	memset(super, 0, EXT4_SUPER_BYTES);
	store16(super + 0x38, 0xEF53);
	store32(super + 0x18, shift);
	store32(super + 0x60, incompatible);
	store32(super + 0x04, 524288);
	store32(super + 0x150, 1);
}

void test_ext4(void)
{
	/* In memory of its very size, so that reading beyond it is seen. */
	uint8_t *super = malloc(EXT4_SUPER_BYTES);
	struct ext4_size size;

	CHECK(super);
	put_super(super, 2, 0x80);
	CHECK(ext4_size_parse(super, &size));
	CHECK(size.block_bytes == 4096 && size.blocks == (UINT64_C(1) << 32) + 524288);
	/* Without the feature the upper half means something else, if anything. */
	put_super(super, 0, 0x40);
	CHECK(ext4_size_parse(super, &size));
	CHECK(size.block_bytes == 1024 && size.blocks == 524288);
	put_super(super, 7, 0);
	CHECK(!ext4_size_parse(super, &size));
	put_super(super, UINT32_MAX, 0);
	CHECK(!ext4_size_parse(super, &size));
	memset(super, 0, EXT4_SUPER_BYTES);
	CHECK(!ext4_size_parse(super, &size));
	memset(super, 0xFF, EXT4_SUPER_BYTES);
	CHECK(!ext4_size_parse(super, &size));
	free(super);
}
