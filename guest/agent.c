#include "agent.h"

struct agent agent;

const char *state_name(enum state state)
{
	switch (state) {
	case STATE_WAITING: return "waiting";
	case STATE_RUNNING: return "running";
	case STATE_STOPPING: break;
	}
	return "stopping";
}
