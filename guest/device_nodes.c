#include "device_nodes.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "console.h"
#include "fd.h"
#include "files.h"
#include "module_index.h"

/* These ask whoever opens them for the rights that they need, by the driver's own rules. */
static bool is_for_all(const char *name)
{
	return strcmp(name, "net/tun") == 0 || strcmp(name, "fuse") == 0;
}

static int make_node(const char *path, const struct device_node *node, mode_t mode)
{
	return mknod(path, node->type | mode, makedev(node->major, node->minor));
}

static void make(char *line, void *context)
{
	struct device_node node;
	char path[80], directory[80];
	mode_t mode;
	int result;

	(void)context;
	if (!device_node_parse(line, &node))
		return;
	mode = is_for_all(node.name) ? 0666 : 0600;
	snprintf(path, sizeof path, "/dev/%s", node.name);
	result = make_node(path, &node, mode);
	if (result < 0 && errno == ENOENT) {
		snprintf(directory, sizeof directory, "%.*s", (int)(strrchr(path, '/') - path), path);
		if (make_directories(directory) == 0)
			result = make_node(path, &node, mode);
	}
	/* The kernel made it already, for its own root alone. */
	if (result < 0 && errno == EEXIST)
		result = mode == 0600 ? 0 : chmod(path, mode);
	if (result < 0)
		console("cannot make %s: %s", path, strerror(errno));
}

void device_nodes_make(const char *list)
{
	file_each_line(list, make, NULL);
}
