#include "configure.h"

#include "agent.h"
#include "console.h"
#include "identity.h"
#include "init.h"
#include "net.h"
#include "out.h"
#include "phases.h"
#include "root.h"

/* Checked before anything is done. */
static int check(const struct fields *fields, bool *image, struct err *err)
{
	struct span init = { "agent", 5 };

	if (agent.state == STATE_STOPPING)
		return err_set(err, ERR_BUSY, 0, "the guest is going down");
	if (agent.boot_error.code) {
		*err = agent.boot_error;
		return -1;
	}
	fields_span(fields, TAG_INIT, &init);
	*image = span_is(init, "image");
	if (!*image && !span_is(init, "agent"))
		return err_set(err, ERR_BAD_REQUEST, 0, "INIT is agent or image");
	return 0;
}

static int configure_all(const struct fields *fields, struct err *err)
{
	bool first = agent.state == STATE_WAITING, image;

	if (check(fields, &image, err) < 0)
		return -1;
	if (first)
		phase_mark("configure");
	else
		root_thaw(err); /* a clone of a frozen root: writing to it would never end */
	if (identity_set_kernel(fields, err) < 0 || net_configure(fields, err) < 0)
		return -1;
	if (first)
		phase_mark("network");
	identity_write_files(fields);
	if (fields_int(fields, TAG_GROW, 0) && root_grow(err) < 0)
		console("%s", err->message); /* a smaller disk than asked for is still a disk */
	agent.state = STATE_RUNNING;
	if (first && image && init_hand_over(fields, err) < 0)
		return -1;
	if (first)
		phase_mark("configured");
	return 0;
}

void configure(const struct request *request)
{
	struct err err;

	if (configure_all(&request->fields, &err) < 0) {
		console("configure: %s", err.message);
		out_fail(request->channel, &err);
		return;
	}
	phases_put(out_begin(FRAME_OK, request->channel));
	out_end();
}
