#include "modprobe.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <linux/module.h>
#include <linux/mount.h>
#include <linux/openat2.h>

#include "console.h"
#include "disks.h"
#include "fd.h"
#include "files.h"
#include "module_index.h"

#define KERNEL_FILE "/proc/sys/kernel/modprobe"
#define IMAGES_OWN "/sbin/modprobe"

enum {
	INDEX_MAX = 16 << 20,
	/* Of soft dependencies of soft dependencies: Debian's kernels have two. */
	DEPTH_MAX = 6,
	MODULES_MAX = 256,
};

static struct {
	char *dep, *alias, *symbols, *softdep; /* the disk's files */
	size_t count;
	struct span loaded[MODULES_MAX]; /* paths of dep; also what could not be loaded */
} modules;

static int load_named(const char *name, int depth);

static char *load_index(const char *file)
{
	size_t length;
	char *text = file_load(file, INDEX_MAX, &length);

	return text ? text : "";
}

static int load_file(struct span span)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	char path[256];
	AUTO_FD fd = -1;
	int flags;

	if (!span_copy(span, path, sizeof path))
		return -1;
	fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
	if (fd < 0)
		return -1;
	flags = strcmp(strrchr(path, '.'), ".ko") == 0 ? 0 : MODULE_INIT_COMPRESSED_FILE;
	return syscall(SYS_finit_module, fd, "", flags) < 0 && errno != EEXIST ? -1 : 0;
}

static bool met_before(struct span path)
{
	for (size_t i = 0; i < modules.count; i++)
		if (modules.loaded[i].length == path.length &&
		    memcmp(modules.loaded[i].data, path.data, path.length) == 0)
			return true;
	return false;
}

/* One that somebody is loading just now is not: the kernel lets us wait for its end. */
static bool is_in_kernel(const char *name)
{
	char path[MODULE_NAME_SIZE + 32], state[16];

	snprintf(path, sizeof path, "/sys/module/%s/initstate", name);
	if (file_read_line(path, state, sizeof state) > 0)
		return strcmp(state, "live") == 0;
	*strrchr(path, '/') = 0;
	return access(path, F_OK) == 0; /* built in */
}

static void load_soft(struct span name, void *context)
{
	char text[MODULE_NAME_SIZE];
	const int *depth = context;

	if (span_copy(name, text, sizeof text))
		load_named(text, *depth + 1); /* soft: without it goes as well */
}

/* One whose hard dependencies are loaded. */
static int load_one(const char *name, struct span path, int depth)
{
	int result;

	if (met_before(path) || is_in_kernel(name))
		return 0;
	if (modules.count == MODULES_MAX)
		return -1;
	modules.loaded[modules.count++] = path;
	module_each_soft(modules.softdep, name, false, load_soft, &depth);
	result = load_file(path);
	if (result == 0)
		module_each_soft(modules.softdep, name, true, load_soft, &depth);
	return result;
}

/* By its own name; 1 if there is none of that name. */
static int load_module(const char *name, int depth)
{
	struct span path, needs, need;
	char of_need[MODULE_NAME_SIZE], own[MODULE_NAME_SIZE];

	if (!module_find(modules.dep, name, &path, &needs) || !module_name(path, own))
		return 1;
	if (is_in_kernel(own))
		return 0;
	while (module_take_last(&needs, &need))
		if (!module_name(need, of_need) || load_one(of_need, need, depth) < 0)
			return -1;
	return load_one(own, path, depth);
}

struct aliases {
	int depth, result;
};

static void load_alias(struct span module, void *context)
{
	struct aliases *aliases = context;
	char name[MODULE_NAME_SIZE];

	if (span_copy(module, name, sizeof name) && load_module(name, aliases->depth) == 0)
		aliases->result = 0;
}

static int load_named(const char *name, int depth)
{
	struct aliases aliases = { .depth = depth, .result = -1 };
	int result;

	if (depth > DEPTH_MAX)
		return -1;
	result = load_module(name, depth);
	if (result <= 0)
		return result;
	if (strncmp(name, "symbol:", 7) == 0) {
		if (!modules.symbols)
			modules.symbols = load_index("modules.symbols");
		module_each_alias(modules.symbols, name, load_alias, &aliases);
	} else {
		module_each_alias(modules.alias, name, load_alias, &aliases);
	}
	return aliases.result;
}

/* The disk once more, for ourselves: what is mounted at /lib/modules, if anything is, may be
 * somebody's own. */
static int open_disk(void)
{
	char device[DEVICE_NAME_MAX];
	const char *type;
	AUTO_FD context = -1;

	if (!disks_find_modules(device))
		return -1;
	type = disk_type(device);
	if (!type)
		return -1;
	context = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
	if (context < 0 ||
	    syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", device, 0) < 0 ||
	    syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
	    (strcmp(type, "ext4") == 0 &&
	     syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, "noload", NULL, 0) < 0) ||
	    syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
			    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

static int enter_disk(const char *release)
{
	AUTO_FD disk = open_disk();

	if (disk < 0 || fchdir(disk) < 0 || chdir(release) < 0)
		return -1;
	return 0;
}

/* It knows the settings of the image (/etc/modprobe.d). But it needs the modules in their place. */
static void run_images_own(const char *release, char **argv)
{
	char path[256], *own = argv[0];

	snprintf(path, sizeof path, "/lib/modules/%s/modules.dep", release);
	if (access(path, R_OK) < 0)
		return;
	argv[0] = IMAGES_OWN;
	execv(IMAGES_OWN, argv);
	argv[0] = own;
}

int modprobe_main(char **argv)
{
	struct utsname system;
	int result = 1;

	uname(&system);
	run_images_own(system.release, argv);
	if (enter_disk(system.release) < 0)
		return 1;
	modules.dep = load_index("modules.dep");
	modules.alias = load_index("modules.alias");
	modules.softdep = load_index("modules.softdep");
	for (char **name = argv + 1; *name; name++)
		if (**name != '-')
			result = load_named(*name, 0) < 0;
	return result;
}

static int copy_program(void)
{
	AUTO_FD from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	AUTO_FD to = -1;
	struct stat stat;

	if (from < 0 || fstat(from, &stat) < 0)
		return -1;
	/* Not a link, nor a mount: every devtmpfs is the same one, wherever an init mounts it anew. */
	to = open(MODPROBE_PATH, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0500);
	if (to < 0)
		return -1;
	for (off_t at = 0; at < stat.st_size;)
		if (sendfile(to, from, &at, (size_t)(stat.st_size - at)) <= 0)
			return -1;
	return 0;
}

void modprobe_install(void)
{
	static const char path[] = MODPROBE_PATH;
	AUTO_FD fd = open(KERNEL_FILE, O_WRONLY | O_CLOEXEC);

	if (fd < 0) /* a kernel that cannot load modules */
		return;
	if (copy_program() < 0 || write(fd, path, sizeof path - 1) < 0)
		console("modprobe: %s", strerror(errno));
}
