#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "module_index.h"

static const char dep[] = "kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko kernel/net/llc/llc.ko\n"
			  "kernel/net/802/stp.ko: kernel/net/llc/llc.ko\n"
			  "kernel/crypto/crc32c-intel.ko.xz:\n"
			  "no colon here\n"
			  "kernel/last.ko:";

static const char aliases[] = "# Aliases extracted from modules themselves.\n"
			      "alias fs-overlay overlay\n"
			      "alias char-major-10-200 tun\n"
			      "alias crypto-crc32c crc32c_intel\n"
			      "alias crypto-crc32c crc32c_generic\n"
			      "alias net-pf-16-proto-12-subsys-[0-9]* nfnetlink-some\n"
			      "alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\n"
			      "alias broken\n"
			      "alias symbol:devlink_free devlink";

struct seen {
	char text[256];
};

static void note(struct span name, void *context)
{
	struct seen *seen = context;

	snprintf(seen->text + strlen(seen->text), sizeof seen->text - strlen(seen->text), "%.*s ",
		 (int)name.length, name.data);
}

static bool aliases_are(const char *name, const char *expected)
{
	struct seen seen = { "" };

	module_each_alias(aliases, name, note, &seen);
	return strcmp(seen.text, expected) == 0;
}

static bool soft_are(const char *text, const char *name, bool after, const char *expected)
{
	struct seen seen = { "" };

	module_each_soft(text, name, after, note, &seen);
	return strcmp(seen.text, expected) == 0;
}

static void test_names(void)
{
	struct span path, needs, one;
	char name[MODULE_NAME_SIZE];

	CHECK(module_find(dep, "bridge", &path, &needs));
	CHECK(span_is(path, "kernel/net/bridge/bridge.ko"));
	CHECK(module_take_last(&needs, &one) && span_is(one, "kernel/net/llc/llc.ko"));
	CHECK(module_take_last(&needs, &one) && span_is(one, "kernel/net/802/stp.ko"));
	CHECK(!module_take_last(&needs, &one));
	CHECK(module_find(dep, "crc32c-intel", &path, &needs));
	CHECK(module_find(dep, "crc32c_intel", &path, &needs) && !needs.length);
	CHECK(module_name(path, name) && strcmp(name, "crc32c_intel") == 0);
	CHECK(module_find(dep, "last", &path, &needs));
	CHECK(!module_find(dep, "brid", &path, &needs));
	CHECK(!module_find(dep, "", &path, &needs));
	/* Who asks chooses the name: it is compared, and never a path. */
	CHECK(!module_find(dep, "kernel/net/802/stp.ko", &path, &needs));
	CHECK(!module_find(dep, "../../tmp/stp", &path, &needs));
}

static void test_aliases(void)
{
	char longest[4096];

	CHECK(aliases_are("fs-overlay", "overlay "));
	CHECK(aliases_are("fs_overlay", "overlay "));
	CHECK(aliases_are("char-major-10-200", "tun "));
	CHECK(aliases_are("crypto-crc32c", "crc32c_intel crc32c_generic "));
	CHECK(aliases_are("net-pf-16-proto-12-subsys-7", "nfnetlink-some "));
	CHECK(aliases_are("net-pf-16-proto-12-subsys-x", ""));
	CHECK(aliases_are("pci:v00001AF4d00001000svxsdxbc02sc00i00", "virtio_pci "));
	CHECK(aliases_are("symbol:devlink_free", "devlink "));
	/* Patterns are the disk's: a name that looks like one is a name. */
	CHECK(aliases_are("*", ""));
	CHECK(aliases_are("fs-[a-z]*", ""));
	CHECK(aliases_are("broken", ""));
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = 0;
	CHECK(aliases_are(longest, ""));
}

static void test_soft(void)
{
	static const char text[] = "# Soft dependencies\n"
				   "softdep nf-flow pre: crypto-md5 ecb post: mpls_gso\n"
				   "softdep cifs gcm\n"
				   "softdep nf_flow post: vfio_iommu\n";

	CHECK(soft_are(text, "nf_flow", false, "crypto-md5 ecb "));
	CHECK(soft_are(text, "nf_flow", true, "mpls_gso vfio_iommu "));
	CHECK(soft_are(text, "cifs", false, ""));
	CHECK(soft_are(text, "nf", false, ""));
}

static void test_nodes(void)
{
	struct device_node node;

	CHECK(device_node_parse("tun net/tun c10:200", &node));
	CHECK(strcmp(node.name, "net/tun") == 0 && node.type == S_IFCHR && node.major == 10 &&
	      node.minor == 200);
	CHECK(device_node_parse("x x..y/..z b7:0", &node) && node.type == S_IFBLK);
	CHECK(!device_node_parse("# Device nodes to trigger on-demand module loading.", &node));
	CHECK(!device_node_parse("a ../etc/x c1:3", &node));
	CHECK(!device_node_parse("a x/../../etc/x c1:3", &node));
	CHECK(!device_node_parse("a x/.. c1:3", &node));
	CHECK(!device_node_parse("a .. c1:3", &node));
	CHECK(!device_node_parse("a /etc/x c1:3", &node));
	CHECK(!device_node_parse("a x p1:3", &node));
	CHECK(!device_node_parse("a x c99999999:3", &node));
	CHECK(!device_node_parse("a x", &node));
	CHECK(!device_node_parse("", &node));
}

void test_modules(void)
{
	test_names();
	test_aliases();
	test_soft();
	test_nodes();
}
