#include "boot.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "agent.h"
#include "cmdline.h"
#include "console.h"
#include "fd.h"
#include "identity.h"
#include "modules.h"
#include "mounts.h"
#include "net.h"
#include "phases.h"
#include "port.h"
#include "root.h"
#include "shutdown.h"
#include "uevent.h"

enum { AGENT_FILES_MAX = 8192, RANDOM_INSECURE = 4 };

/* The descriptors 0 to 2 exist from here on, so that no other ever gets these numbers. */
static void quiet_stdio(void)
{
	int fd = open("/dev/null", O_RDWR);

	for (int i = 0; i < 3; i++)
		if (fd >= 0 && fd != i)
			dup2(fd, i);
	if (fd > 2)
		close(fd);
}

void boot_make_id(void)
{
	/* An id, not a secret: it must not wait for a random number generator that is seeded at
	 * CONFIGURE. */
	if (getrandom(agent.boot_id, sizeof agent.boot_id, RANDOM_INSECURE) < 0) {
		AUTO_FD fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, agent.boot_id, sizeof agent.boot_id) < 0)
			console("no random numbers");
	}
}

static int open_port(struct err *err)
{
	char transport[16];

	cmdline_get("banger.transport", transport, sizeof transport);
	return strcmp(transport, "vsock") == 0 ? port_open_vsock(err) : port_open_serial(err);
}

void boot(void)
{
	struct rlimit files = { AGENT_FILES_MAX, AGENT_FILES_MAX };
	struct err err;

	agent.is_init = true;
	mounts_early();
	quiet_stdio();
	reboot(RB_DISABLE_CAD);
	umask(0); /* files get the modes that are asked for; programs get a mask of their own */
	setrlimit(RLIMIT_NOFILE, &files);
	uevent_open();
	modules_load();
	phase_mark("modules");
	boot_make_id();
	if (root_mount(&agent.boot_error) < 0 || root_switch(&agent.boot_error) < 0)
		console("fatal: %s", agent.boot_error.message);
	else
		identity_warm_up();
	phase_mark("root");
	net_prepare();
	if (open_port(&err) < 0) {
		console("fatal: %s", err.message);
		shutdown_power_off();
	}
	uevent_close();
	phase_mark("port");
}
