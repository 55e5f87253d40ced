/* relay: carries what guests send to the outside, and what comes from outside to their published ports.
 *
 *   relay --listen=FD --keeper=PATH [--echo=FD]... [--gateway=ADDRESS]... [--time=NAME=MILLISECONDS]...
 *
 * It runs in the host's network, as the user of the daemon, and outlives the daemon. The keeper gives it the listening
 * sockets of the guests' network. For each machine it is told who it is and what it may reach (relay_requests.h); a
 * machine that it was told nothing of reaches nothing. See README.md. */
#include "relay_address.h"
#include "relay_confine.h"
#include "relay_control.h"
#include "relay_dns.h"
#include "relay_echo.h"
#include "relay_events.h"
#include "relay_flow.h"
#include "relay_host.h"
#include "relay_keeper.h"
#include "relay_listeners.h"
#include "relay_loop.h"
#include "relay_machine.h"
#include "relay_publish.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_REFUSED = 1, EXIT_USAGE = 125 };
enum { DESCRIPTORS_WANTED = 192 + 2 * FLOWS_MOST + PUBLICATIONS_MOST };

struct options {
	int listener;
	const char *keeper;
	struct in6_addr gateway_v4, gateway_v6;
	int64_t times[WAITS];
};

static void refuse(int code, const char *what, const char *why)
{
	dprintf(STDERR_FILENO, "relay: %s: %s\n", what, why);
	exit(code);
}

/* The rest of an argument that begins with `option`; NULL if it does not. */
static const char *value_of(const char *argument, const char *option)
{
	size_t length = strlen(option);

	return strncmp(argument, option, length) == 0 ? argument + length : NULL;
}

static long read_number(const char *text, const char *argument)
{
	char *end;

	errno = 0;
	long number = strtol(text, &end, 10);
	if (errno || end == text || *end || number < 0)
		refuse(EXIT_USAGE, "not a number", argument);
	return number;
}

static void read_time(const char *value, struct options *options)
{
	static const char *const names[WAITS] = {"dial=", "awake=", "half-closed=", "datagram=", "name=", "question="};

	for (size_t i = 0; i < WAITS; i++) {
		const char *time = value_of(value, names[i]);
		if (time) {
			options->times[i] = read_number(time, value);
			return;
		}
	}
	refuse(EXIT_USAGE, "no such time", value);
}

static void read_gateway(const char *value, struct options *options)
{
	struct in6_addr gateway;

	if (!address_read(value, &gateway))
		refuse(EXIT_USAGE, "not an address", value);
	*(address_is_v4(&gateway) ? &options->gateway_v4 : &options->gateway_v6) = gateway;
}

static void read_echo(const char *value, const char *argument)
{
	int descriptor = (int)read_number(value, argument);

	if (fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0 || !echo_lend(descriptor))
		refuse(EXIT_USAGE, "not a raw socket", argument);
}

static void read_options(int count, char **arguments, struct options *options)
{
	const char *value;

	for (int i = 1; i < count; i++) {
		if ((value = value_of(arguments[i], "--listen=")))
			options->listener = (int)read_number(value, arguments[i]);
		else if ((value = value_of(arguments[i], "--keeper=")))
			options->keeper = value;
		else if ((value = value_of(arguments[i], "--echo=")))
			read_echo(value, arguments[i]);
		else if ((value = value_of(arguments[i], "--gateway=")))
			read_gateway(value, options);
		else if ((value = value_of(arguments[i], "--time=")))
			read_time(value, options);
		else
			refuse(EXIT_USAGE, "unknown option", arguments[i]);
	}
	if (options->listener < 0 || !options->keeper)
		refuse(EXIT_USAGE, "wanted", "--listen and --keeper");
}

static bool tick(void)
{
	bool waiting = flows_expire();

	waiting = keeper_tick() || waiting;
	waiting = listeners_tick() || waiting;
	waiting = publications_tick() || waiting;
	return events_tick() || waiting;
}

static void on_end(int number)
{
	(void)number;
	_exit(0);
}

int main(int count, char **arguments)
{
	struct options options = {
		.listener = -1,
		.times = {[WAIT_DIAL] = 10000, [WAIT_AWAKE] = 60000, [WAIT_HALF_CLOSED] = 300000, [WAIT_DATAGRAM] = 60000,
			  [WAIT_NAME] = 2000, [WAIT_QUESTION] = 10000},
	};

	read_gateway("10.213.0.1", &options);
	read_gateway("fd62:616e:6765::1", &options);
	read_options(count, arguments, &options);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGTERM, on_end);
	unsigned long descriptors = confine_descriptors(DESCRIPTORS_WANTED);
	/* Where a user may have few descriptors, published ports get a part of them, and flows the rest. */
	unsigned long publications = descriptors / 8 < PUBLICATIONS_MOST ? descriptors / 8 : PUBLICATIONS_MOST;
	confine();
	machines_open();
	flows_open(options.times, descriptors - publications);
	if (!loop_open() || !control_open(options.listener))
		refuse(EXIT_REFUSED, "control socket", strerror(errno));
	host_open(&options.gateway_v4, &options.gateway_v6);
	publications_open(&options.gateway_v4, &options.gateway_v6, publications);
	dns_open();
	echo_begin();
	if (!keeper_open(options.keeper, listeners_want))
		refuse(EXIT_USAGE, "the path is too long", options.keeper);
	loop_run(tick);
}
