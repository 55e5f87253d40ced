#include "oom.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>

#include "console.h"
#include "fd.h"
#include "loop.h"
#include "oom_record.h"
#include "out.h"
#include "session.h"
#include "stats.h"

enum {
	/* Four times what the kernel says of a kill. */
	RECORD_BYTES = 1024,
	RECORDS_A_LOOK = 256,
};

static void log_ready(struct watch *watch, uint32_t events);
static struct watch kernel_log = { .fd = -1, .ready = log_ready };

static long known;       /* by the kernel's counter */
static unsigned untold;  /* of those */
static uint32_t told_in; /* which session */
static struct oom_victim latest;

static void note(const struct oom_victim *victim, long kills)
{
	known += kills;
	untold += (unsigned)kills;
	latest = *victim;
}

/* False when there are no more. A record that was overwritten before it was read is an EPIPE, one
 * that does not fit an EINVAL; the next read goes on behind it. */
static bool read_record(char record[RECORD_BYTES])
{
	ssize_t got = read(kernel_log.fd, record, RECORD_BYTES - 1);

	record[got > 0 ? got : 0] = 0;
	if (got > 0 || (got < 0 && (errno == EPIPE || errno == EINVAL || errno == EINTR)))
		return true;
	if (got == 0 || errno != EAGAIN)
		watch_close(&kernel_log); /* it would be ready for ever */
	return false;
}

static void read_log(void)
{
	char record[RECORD_BYTES];
	struct oom_victim victim;

	for (int i = 0; i < RECORDS_A_LOOK && read_record(record); i++)
		if (oom_record_parse(record, &victim) && stats_oom_kills() > known)
			note(&victim, 1);
}

static void log_ready(struct watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	read_log();
}

void oom_watch(void)
{
	if (kernel_log.fd < 0)
		kernel_log.fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	kernel_log.events = 0; /* the flags of the earlier loop are void */
	/* Without a log there is still the counter. */
	if (kernel_log.fd < 0 || !watch_set(&kernel_log, EPOLLIN))
		console("kernel log: %s", strerror(errno));
	lseek(kernel_log.fd, 0, SEEK_END);
}

void oom_forget(void)
{
	lseek(kernel_log.fd, 0, SEEK_END);
	known = stats_oom_kills();
	untold = 0;
	latest.pid = 0;
}

void oom_look(void)
{
	static const struct oom_victim somebody;
	long kills;

	read_log();
	/* The kernel counts, then kills, then writes to the log. */
	kills = stats_oom_kills() - known;
	if (kills > 0)
		note(&somebody, kills);
}

void oom_tell_again(pid_t pid)
{
	if (latest.pid == pid && told_in != session_number() && !untold)
		untold = 1;
}

bool oom_tell(void)
{
	char text[OOM_TEXT_SIZE];

	if (!untold)
		return false;
	oom_describe(&latest, untold, text);
	untold = 0;
	told_in = session_number();
	out_event("oom", 0, latest.pid, text);
	return true;
}
