#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "boot.h"
#include "console.h"
#include "files.h"
#include "init.h"
#include "initctl.h"
#include "loop.h"
#include "modprobe.h"
#include "oom.h"
#include "phases.h"
#include "port.h"
#include "serve.h"
#include "shutdown.h"
#include "signals.h"
#include "tsc.h"

/* The host runs the same program for two questions. */
static int host_main(int argc, char **argv)
{
	static const char usage[] = "usage: banger-agent --version | --tsc-khz\n";
	char line[64];

	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		snprintf(line, sizeof line, "%s\n", AGENT_VERSION);
	else if (argc == 2 && strcmp(argv[1], "--tsc-khz") == 0)
		snprintf(line, sizeof line, "%llu\n", tsc_khz());
	else
		return write_all(2, usage, sizeof usage - 1) < 0 ? 1 : 2;
	return write_all(1, line, strlen(line)) < 0;
}

int main(int argc, char **argv)
{
	if (argc > 0 && strcmp(argv[0], MODPROBE_PATH) == 0)
		return modprobe_main(argv);
	if (getpid() != 1)
		return host_main(argc, argv);
	init_own_name = argv[0];
	phase_mark("agent");
	boot();
	if (loop_open() < 0 || signals_open() < 0 || port_watch() < 0) {
		console("fatal: no event loop");
		shutdown_power_off();
	}
	oom_watch();
	initctl_open();
	serve();
}
