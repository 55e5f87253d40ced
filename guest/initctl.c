#include "initctl.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "console.h"
#include "fd.h"
#include "loop.h"
#include "shutdown.h"

#define PLACE "/run/initctl"

enum { MAGIC = 0x03091969, CHANGE_RUNLEVEL = 1, READS_MAX = 16 };

/* As sysvinit has it, of old. */
struct init_request {
	int32_t magic, command, runlevel, sleep_s;
	char rest[368];
};

_Static_assert(sizeof(struct init_request) == 384, "what is written to the pipe at once");

static void requests_ready(struct watch *watch, uint32_t events);
static struct watch watch = { .fd = -1, .ready = requests_ready };

static void obey(const struct init_request *request)
{
	if (request->magic != MAGIC || request->command != CHANGE_RUNLEVEL)
		return;
	if (request->runlevel == '6')
		shutdown_begin(SHUTDOWN_REBOOT, SHUTDOWN_GRACE_MS);
	else if (request->runlevel == '0')
		shutdown_begin(SHUTDOWN_POWEROFF, SHUTDOWN_GRACE_MS);
}

static void requests_ready(struct watch *watch_, uint32_t events)
{
	struct init_request request;

	(void)events;
	for (int i = 0; i < READS_MAX; i++) {
		memset(&request, 0, sizeof request);
		if (read(watch_->fd, &request, sizeof request) <= 0)
			return;
		obey(&request);
	}
}

void initctl_open(void)
{
	if (mkfifo(PLACE, 0600) < 0 && errno != EEXIST)
		return;
	/* Open for writing, too: so it never has an end. */
	watch.fd = open(PLACE, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (watch.fd >= 0 && !watch_set(&watch, EPOLLIN))
		console(PLACE ": %s", strerror(errno));
}

void initctl_close(void)
{
	if (watch.fd < 0)
		return;
	watch_close(&watch);
	unlink(PLACE);
}
