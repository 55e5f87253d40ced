#include "keeper_namespaces.h"

#include "keeper_ipv6.h"
#include "keeper_refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int descriptors[2] = {-1, -1};

static void write_file(const char *code, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		refuse(code, path);
	close(fd);
}

static void map_root(const char *path, unsigned id)
{
	char line[64];

	snprintf(line, sizeof line, "0 %u 1", id);
	write_file(USER_NAMESPACES_REFUSED, path, line);
}

static void map_users(uid_t user, gid_t group)
{
	write_file(USER_NAMESPACES_REFUSED, "/proc/self/setgroups", "deny");
	map_root("/proc/self/uid_map", user);
	map_root("/proc/self/gid_map", group);
}

static void make(void)
{
	uid_t user = geteuid();
	gid_t group = getegid();

	if (unshare(CLONE_NEWUSER) == 0)
		map_users(user, group);
	else if (user != 0) /* root does without, where the host allows none */
		refuse(USER_NAMESPACES_REFUSED, "user namespace");
	/* Some hosts allow a user namespace that is worth nothing. */
	if (unshare(CLONE_NEWNET) != 0)
		refuse(errno == EPERM ? USER_NAMESPACES_REFUSED : NAMESPACES_REFUSED, "network namespace");
}

static void adopt(int user, int network)
{
	/* EINVAL: it is the namespace that we are in, because root did without another. */
	if (setns(user, CLONE_NEWUSER) != 0 && errno != EINVAL)
		refuse(NAMESPACES_REFUSED, "user namespace of the adopted");
	if (setns(network, CLONE_NEWNET) != 0)
		refuse(NAMESPACES_REFUSED, "network namespace of the adopted");
}

void namespaces_enter(int user, int network)
{
	if (network < 0)
		make();
	else
		adopt(user, network);
	if (user >= 0)
		close(user);
	if (network >= 0)
		close(network);
	descriptors[0] = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	descriptors[1] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (descriptors[0] < 0 || descriptors[1] < 0)
		refuse(NAMESPACES_REFUSED, "/proc/self/ns");
}

void namespaces_descriptors(int out[2])
{
	memcpy(out, descriptors, sizeof descriptors);
}

void namespaces_settle(void)
{
	static const struct {
		const char *path, *value;
	} settings[] = {
		{"ipv4/ip_forward", "1"}, /* first: it changes others */
		{"ipv4/conf/all/rp_filter", "0"}, /* nft pins sources */
		{"ipv4/conf/default/rp_filter", "0"},
		{"ipv4/conf/all/accept_redirects", "0"},
		{"ipv4/conf/default/accept_redirects", "0"},
		{"ipv4/conf/all/send_redirects", "0"},
		{"ipv4/conf/default/send_redirects", "0"},
		{"ipv4/conf/all/accept_source_route", "0"},
		{"ipv4/conf/default/accept_source_route", "0"},
		{"ipv4/conf/all/proxy_arp", "0"},
		{"ipv4/conf/default/proxy_arp", "0"},
		{"ipv4/conf/all/arp_accept", "0"},
		{"ipv4/conf/default/arp_accept", "0"},
		{"ipv4/ip_local_port_range", "1024 65535"},
		{"ipv6/conf/all/disable_ipv6", "0"},
		{"ipv6/conf/default/disable_ipv6", "0"},
		{"ipv6/conf/all/forwarding", "1"},
		{"ipv6/conf/default/forwarding", "1"},
		{"ipv6/conf/default/accept_ra", "0"},
		{"ipv6/conf/default/autoconf", "0"},
		{"ipv6/conf/default/accept_redirects", "0"},
		{"ipv6/conf/default/addr_gen_mode", "1"}, /* no address but ours */
		{"ipv6/conf/default/accept_dad", "0"},
		{"ipv6/conf/default/dad_transmits", "0"},
	};
	char path[128];

	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
		if (strncmp(settings[i].path, "ipv6/", 5) == 0 && !ipv6_is_here())
			continue;
		snprintf(path, sizeof path, "/proc/sys/net/%s", settings[i].path);
		write_file(SETTINGS_REFUSED, path, settings[i].value);
	}
}

void namespaces_confine(bool wholly)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct kept[2] = {{0}};

	kept[0].effective = kept[0].permitted =
		wholly ? 0 : 1U << CAP_NET_ADMIN | 1U << CAP_NET_BIND_SERVICE | 1U << CAP_NET_RAW;
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_capset, &header, kept) != 0)
		refuse(NAMESPACES_REFUSED, "capabilities");
	/* A kernel without huge pages refuses this call, which is then not needed. */
	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}
