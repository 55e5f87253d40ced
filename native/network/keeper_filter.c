#include "keeper_filter.h"

#include "keeper_routes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RULES_SIZE = 8192, NFT_NOT_STARTED = 127 };

/* Interfaces are the loopback and taps; so all but the loopback are guests.
 *
 * A guest has one source address: that which leads to its tap. Neighbour discovery may use link-local sources, and so is
 * slow; ARP is not pinned, and so is slow: each request makes the kernel remember a neighbour, and kernels remember few.
 *
 * All guests share the listening sockets, and one that floods them would leave no room for the others. So a guest is slowed
 * in what begins a flow of datagrams, or is a question for a name; flows that are there have sockets of their own.
 *
 * An echo request to the outside is the relay's to answer. The kernel answers it, too, as it comes in, but its answers have
 * no mark. */
static const char RULES[] =
	"table inet banger\n"
	"delete table inet banger\n"
	"table arp banger\n"
	"delete table arp banger\n"
	"table arp banger {\n"
	"  set pace { type ifname; size 4096; flags dynamic,timeout; timeout 5m; }\n"
	"  chain input {\n"
	"    type filter hook input priority 0; policy drop;\n"
	"    arp operation reply accept\n"
	"    arp operation != request drop\n"
	"    arp daddr ip != %1$s drop\n"
	"    update @pace { iifname limit rate over 2/second burst 10 packets } drop\n"
	"    accept\n"
	"  }\n"
	"}\n"
	"table inet banger {\n"
	"  set pace { type ifname; size 4096; flags dynamic,timeout; timeout 5m; }\n"
	"  chain sources {\n"
	"    type filter hook prerouting priority raw; policy drop;\n"
	"    iif lo accept\n"
	"    ip6 saddr fe80::/10 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } goto neighbours\n"
	"    ip saddr 0.0.0.0/8 drop\n"
	"    ip6 saddr { ::/128, fe80::/10 } drop\n"
	"    fib saddr . iif oif missing drop\n"
	"    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n"
	"    meta pkttype != host drop\n"
	"    ip daddr { 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4, 255.255.255.255 } drop\n"
	"    ip6 daddr { ::/127, fe80::/10, ff00::/8 } drop\n"
	"    accept\n"
	"  }\n"
	"  set datagrams { type ifname; size 4096; flags dynamic,timeout; timeout 5m; }\n"
	"  set echoes { type ifname; size 4096; flags dynamic,timeout; timeout 5m; }\n"
	"  chain neighbours {\n"
	"    update @pace { iifname limit rate over 2/second burst 20 packets } drop\n"
	"    accept\n"
	"  }\n"
	"  chain relay {\n"
	"    type filter hook prerouting priority mangle; policy accept;\n"
	"    iif lo accept\n"
	"    ip daddr != %1$s ip daddr %2$s accept\n"
	"    ip6 daddr != %3$s ip6 daddr %4$s accept\n"
	"    ip daddr != %1$s icmp type echo-request goto echo\n"
	"    ip6 daddr != %3$s icmpv6 type echo-request goto echo\n"
	"    udp dport != 53 socket transparent 1 meta mark set %9$u accept\n"
	"    meta l4proto udp update @datagrams { iifname limit rate over 1000/second burst 200 packets } drop\n"
	"    meta nfproto ipv4 meta l4proto tcp tproxy ip to 127.0.0.1:%5$u meta mark set %9$u accept\n"
	"    meta nfproto ipv4 meta l4proto udp tproxy ip to 127.0.0.1:%7$u meta mark set %9$u accept\n"
	"    meta nfproto ipv6 meta l4proto tcp tproxy ip6 to [::1]:%6$u meta mark set %9$u accept\n"
	"    meta nfproto ipv6 meta l4proto udp tproxy ip6 to [::1]:%8$u meta mark set %9$u accept\n"
	"  }\n"
	"  chain echo {\n"
	"    update @echoes { iifname limit rate over 64/second burst 128 packets } drop\n"
	"    meta mark set %9$u accept\n"
	"  }\n"
	"  chain input {\n"
	"    type filter hook input priority filter; policy drop;\n"
	"    iif lo accept\n"
	"    meta mark %9$u accept\n"
	"    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n"
	"    ip daddr %1$s icmp type { echo-request, destination-unreachable } accept\n"
	"    ip6 daddr %3$s icmpv6 type { echo-request, destination-unreachable, packet-too-big } accept\n"
	"  }\n"
	"  chain output {\n"
	"    type filter hook output priority filter; policy accept;\n"
	"    ip saddr != %1$s icmp type echo-reply meta mark 0 drop\n"
	"    ip6 saddr != %3$s icmpv6 type echo-reply meta mark 0 drop\n"
	"  }\n"
	"  chain forward {\n"
	"    type filter hook forward priority filter; policy drop;\n"
	"    iifname \"vm*\" oifname \"vm*\" accept\n"
	"  }\n"
	"}\n";

static size_t write_rules(char out[RULES_SIZE], const struct guests *guests, const struct listener_ports *ports)
{
	char gateway4[ADDRESS_TEXT], gateway6[ADDRESS_TEXT], text[ADDRESS_TEXT];
	char v4[ADDRESS_TEXT + 4], v6[ADDRESS_TEXT + 4];

	address_write(&guests->gateway4, gateway4);
	address_write(&guests->gateway6, gateway6);
	snprintf(v4, sizeof v4, "%s/%u", address_write(&guests->v4.address, text), guests->v4.length);
	snprintf(v6, sizeof v6, "%s/%u", address_write(&guests->v6.address, text), guests->v6.length);
	int length = snprintf(
		out, RULES_SIZE, RULES, gateway4, v4, gateway6, v6, ports->tcp4, ports->tcp6, ports->udp4, ports->udp6,
		(unsigned)RELAY_MARK);
	return (size_t)length;
}

static void become_nft(const char *nft, int rules)
{
	char *const arguments[] = {"nft", "-f", "-", NULL};
	char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", NULL};

	if (dup2(rules, STDIN_FILENO) == STDIN_FILENO && dup2(STDERR_FILENO, STDOUT_FILENO) == STDOUT_FILENO)
		execve(nft, arguments, environment);
	perror("keeper: nft");
	_exit(NFT_NOT_STARTED);
}

bool filter_load(const char *nft, const struct guests *guests, const struct listener_ports *ports)
{
	char rules[RULES_SIZE];
	size_t length = write_rules(rules, guests, ports);
	int ends[2], status = -1;

	if (length >= sizeof rules || pipe2(ends, O_CLOEXEC) != 0)
		return false;
	pid_t child = fork();
	if (child == 0)
		become_nft(nft, ends[0]);
	close(ends[0]);
	/* The rules are shorter than a pipe. */
	bool written = child > 0 && write(ends[1], rules, length) == (ssize_t)length;
	close(ends[1]);
	if (child > 0 && waitpid(child, &status, 0) != child)
		return false;
	errno = WIFEXITED(status) && WEXITSTATUS(status) == NFT_NOT_STARTED ? ENOENT : EPERM;
	return written && status == 0;
}
