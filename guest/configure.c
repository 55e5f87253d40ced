#include "configure.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "boot_id.h"
#include "console.h"
#include "fd.h"
#include "identity.h"
#include "init.h"
#include "net.h"
#include "oom.h"
#include "out.h"
#include "phases.h"
#include "root.h"
#include "tcp_reset.h"
#include "tmpfs.h"
#include "values.h"

/* Checked before anything is done. */
static int check(const struct fields *fields, bool *image, struct err *err)
{
	struct span init = { "agent", 5 };

	if (agent.state == STATE_STOPPING)
		return err_set(err, ERR_BUSY, 0, "the guest is shutting down");
	if (agent.boot_error.code) {
		*err = agent.boot_error;
		return -1;
	}
	if (values_check(fields, err) < 0)
		return -1;
	fields_span(fields, TAG_INIT, &init);
	*image = span_is(init, "image");
	if (!*image && !span_is(init, "agent"))
		return err_set(err, ERR_BAD_REQUEST, 0, "INIT is agent or image");
	return 0;
}

/* Of programs that start from now on. The kernel's word for it is there from its boot. */
static void randomize(const struct fields *fields)
{
	int64_t wanted = fields_int(fields, TAG_RANDOMIZE, -1);
	AUTO_FD setting = -1;

	if (wanted < 0)
		return;
	setting = open("/proc/sys/kernel/randomize_va_space", O_WRONLY | O_CLOEXEC);
	if (setting < 0 || write(setting, wanted ? "2" : "0", 1) != 1)
		console("random addresses: %s", strerror(errno));
}

static int apply_identity(const struct fields *fields, bool first, struct err *err)
{
	struct err thaw;

	if (first)
		phase_mark("configure");
	/* First of all, for they count with every moment and every draw. */
	if (identity_refresh(fields, err) < 0)
		return -1;
	root_thaw_own(&thaw); /* a clone of a frozen root: writing to it would never end */
	if (identity_set_hostname(fields, err) < 0 || net_configure(fields, err) < 0)
		return -1;
	if (first)
		phase_mark("network");
	if (fields_int(fields, TAG_RESET_TCP, 0))
		tcp_reset_all(); /* under the new address, so that the old one says no farewell */
	boot_id_set(fields);
	randomize(fields);
	root_unprotect();
	if (tmpfs_mount_all(fields, err) < 0)
		return -1;
	identity_write_files(fields);
	return 0;
}

/* A smaller disk than asked for is still a disk; the answer says why it is one. */
static void grow(const struct fields *fields, struct err *ungrown)
{
	if (!fields_int(fields, TAG_GROW, 0) ||
	    root_grow_to((uint64_t)fields_int(fields, TAG_DISK_BYTES, 0), ungrown) == 0)
		ungrown->message[0] = 0;
	else
		console("%s", ungrown->message);
}

static int configure_all(const struct fields *fields, bool first, struct err *ungrown,
			 struct err *err)
{
	bool image;

	if (check(fields, &image, err) < 0)
		return -1;
	if (!first)
		oom_forget();
	if (apply_identity(fields, first, err) < 0)
		return -1;
	grow(fields, ungrown);
	if (root_protect(fields, err) < 0)
		return -1;
	agent.state = STATE_RUNNING;
	if (first && image && init_hand_over(fields, err) < 0)
		return -1;
	if (first)
		phase_mark("configured");
	return 0;
}

void configure(const struct request *request)
{
	bool first = agent.state == STATE_WAITING;
	struct field_writer *fields;
	struct err err, ungrown;

	if (configure_all(&request->fields, first, &ungrown, &err) < 0) {
		console("configure: %s", err.message);
		out_fail(request->channel, &err);
		return;
	}
	fields = out_begin(FRAME_OK, request->channel);
	if (first)
		phases_put(fields);
	if (ungrown.message[0])
		put_text(fields, TAG_MESSAGE, ungrown.message);
	identity_put_clock(fields);
	out_end();
}

static int refresh_all(const struct fields *fields, struct err *err)
{
	struct err thaw;

	if (values_check(fields, err) < 0 || identity_refresh(fields, err) < 0)
		return -1;
	if (fields_count(fields, TAG_ENTROPY))
		root_thaw_own(&thaw); /* frozen for the snapshot that was restored now */
	return 0;
}

void refresh(const struct request *request)
{
	struct err err;

	if (refresh_all(&request->fields, &err) < 0) {
		out_fail(request->channel, &err);
		return;
	}
	identity_put_clock(out_begin(FRAME_OK, request->channel));
	out_end();
}
