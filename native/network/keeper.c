/* keeper: keeps the network of the guests.
 *
 *   keeper --hold --adopt=USER,NETWORK
 *   keeper --listen=FD [--nft=PATH] [--tun=PATH] [--adopt=USER,NETWORK] [--guests4=PREFIX] [--guests6=PREFIX]
 *
 * The network is a namespace without a way out. Each VM has a tap in it. What a guest sends to the outside arrives at
 * listening sockets, which the relay gets from here; guests reach one another only in networks that they have joined. The
 * keeper reads nothing that a guest sends. It outlives the daemon; requests come over the listening socket. With --hold it
 * only is in the namespaces of another, so that they stay when that one is killed. See README.md.
 */
#include "keeper_control.h"
#include "keeper_echo.h"
#include "keeper_filter.h"
#include "keeper_namespaces.h"
#include "keeper_options.h"
#include "keeper_refusal.h"
#include "keeper_routes.h"
#include "keeper_rtnetlink.h"
#include "keeper_sockets.h"
#include "keeper_taps.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* Each tap is a descriptor. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static void prepare_network(const struct options *options)
{
	struct listener_ports ports;

	namespaces_settle();
	if (!rtnetlink_open() || !routes_prepare(&options->guests))
		refuse(errno == EPERM ? USER_NAMESPACES_REFUSED : ROUTES_REFUSED, "routes");
	taps_open(options->tun, &options->guests);
	if (options->network_namespace >= 0 && !taps_adopt())
		refuse(ROUTES_REFUSED, "adoption");
	if (!taps_prepare())
		refuse(TUN_REFUSED, options->tun);
	if (!listeners_open(&ports))
		refuse(SOCKETS_REFUSED, "transparent sockets");
	echoes_open();
	if (!filter_load(options->nft, &options->guests, &ports))
		refuse(FILTER_REFUSED, options->nft);
}

static void hold(const struct options *options)
{
	namespaces_enter(options->user_namespace, options->network_namespace);
	namespaces_confine(true);
	for (;;)
		pause();
}

int main(int count, char **arguments)
{
	struct options options;

	options_read(count, arguments, &options);
	(void)signal(SIGHUP, SIG_IGN);
	if (options.hold)
		hold(&options);
	if (fcntl(options.listener, F_SETFD, FD_CLOEXEC) != 0 || fcntl(options.listener, F_SETFL, O_NONBLOCK) != 0)
		refuse_usage("not open", "--listen");
	(void)signal(SIGPIPE, SIG_IGN);
	raise_descriptors();
	namespaces_enter(options.user_namespace, options.network_namespace);
	prepare_network(&options);
	namespaces_confine(false);
	control_serve(options.listener, &options.guests);
}
