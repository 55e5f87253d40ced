/* What every part of the agent may know about it. */
#ifndef BANGER_AGENT_H
#define BANGER_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

enum state { STATE_WAITING, STATE_RUNNING, STATE_STOPPING };

enum { PROTOCOL_VERSION = 1, BOOT_ID_BYTES = 16 };

struct agent {
	enum state state;
	bool is_init;     /* pid 1 is the agent: false once the image's init took over */
	bool init_failed; /* pid 1 is a stand-in of ours, for the image's init did not start */
	uint8_t boot_id[BOOT_ID_BYTES];
	struct err boot_error; /* code ERR_NONE: the boot went well */
};

extern struct agent agent;

const char *state_name(enum state state);

#endif
