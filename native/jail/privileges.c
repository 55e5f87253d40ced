#include "privileges.h"

#include "fail.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
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

void privileges_drop_bounding(void)
{
	/* Needs CAP_SETPCAP. A process without CAP_SETPCAP gets EPERM, and has no capabilities to lose. */
	for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
		if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) != 0 && errno != EPERM)
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

void privileges_drop(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) != 0)
		fail("capset", NULL);
}
