#include "privileges.h"

#include "fail.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

void privileges_bound(const struct jail *jail)
{
	for (size_t i = 0; i < jail->bound_count; i++) {
		const struct bound *bound = &jail->bounds[i];
		struct rlimit limit;
		if (getrlimit(bound->resource, &limit) != 0)
			fail("getrlimit", NULL);
		if (limit.rlim_max > bound->hard)
			limit.rlim_max = bound->hard;
		limit.rlim_cur = bound->soft < limit.rlim_max ? bound->soft : limit.rlim_max;
		if (setrlimit(bound->resource, &limit) != 0)
			fail("setrlimit", NULL);
	}
}

void privileges_freeze(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		fail("no_new_privs", NULL);
	/* A kernel without huge pages refuses this call, which is then not needed. */
	(void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

static bool keeps(const struct jail *jail, int capability)
{
	return capability < 64 && (jail->capabilities >> capability & 1);
}

void privileges_drop_bounding(const struct jail *jail)
{
	/* Needs CAP_SETPCAP. A process without CAP_SETPCAP gets EPERM, and has no capabilities to lose. */
	for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
		if (!keeps(jail, i) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) != 0 && errno != EPERM)
			fail("capabilities", NULL);
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0) != 0 && errno != EPERM)
		fail("securebits", NULL);
}

void privileges_change_user(const struct jail *jail)
{
	gid_t also = jail->also_group;

	if (!jail->user)
		return;
	if (setgroups(also ? 1 : 0, &also) != 0)
		fail("setgroups", NULL);
	if (setresgid(jail->user, jail->user, jail->user) != 0 || setresuid(jail->user, jail->user, jail->user) != 0)
		fail("setresuid", NULL);
}

void privileges_drop(const struct jail *jail)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct kept[2] = {{0}};

	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capget, &header, kept) != 0)
		fail("capget", NULL);
	for (int i = 0; i < 2; i++) {
		kept[i].permitted &= (unsigned)(jail->capabilities >> 32 * i);
		kept[i].effective = kept[i].inheritable = kept[i].permitted;
	}
	if (syscall(SYS_capset, &header, kept) != 0)
		fail("capset", NULL);
	/* The program has no capabilities of its own, so only ambient ones stay with it. */
	for (int i = 0; i < 64; i++)
		if (kept[i / 32].permitted >> i % 32 & 1)
			if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) != 0)
				fail("ambient capabilities", NULL);
}
