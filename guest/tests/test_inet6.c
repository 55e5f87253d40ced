#include <string.h>

#include "check.h"
#include "inet6_table.h"

static const uint8_t mac[MAC_BYTES] = { 0x52, 0x54, 0x00, 0xcc, 0x67, 0x6e };
static const uint8_t other[MAC_BYTES] = { 0x52, 0x54, 0x00, 0xcc, 0x67, 0x6f };

void test_inet6(void)
{
	static const char *const malformed[] = {
		"", "fe80", "fe80000000000000505400fffecc676e", "fe80000000000000505400fffecc676e 02 40 20",
		"ze80000000000000505400fffecc676e 02 40 20 80 eth0",
		"fe80000000000000505400fffecc676e 02 ff 20 80 eth0",
	};
	struct inet6_entry entry, world;

	CHECK(inet6_entry_parse("fe80000000000000505400fffecc676e 02 40 20 c0     eth0", &entry));
	CHECK(entry.index == 2 && entry.prefix == 64 && entry.link_local && entry.permanent);
	CHECK(inet6_is_made_of(&entry, mac) && !inet6_is_made_of(&entry, other));
	inet6_make_of(&entry, other);
	CHECK(inet6_is_made_of(&entry, other) && entry.bytes[0] == 0xfe && entry.bytes[1] == 0x80);
	CHECK(inet6_entry_parse("fec0000000000000505400fffecc676e 1f 40 40 00     eth0", &world));
	CHECK(world.index == 31 && !world.link_local && !world.permanent && inet6_is_made_of(&world, mac));
	for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
		CHECK(!inet6_entry_parse(malformed[i], &entry));
}
