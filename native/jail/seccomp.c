#include "seccomp.h"

#include "fail.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#define FIRST_OF_OTHERS 0x40000000u /* numbers of the x32 interface */
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#define FIRST_OF_OTHERS 0xffffffffu
#else
#error "an architecture without a filter"
#endif

/* Of other processes, of the kernel itself, of files without a path, of mounts and namespaces. io_uring would do all of
 * it, and sockets, behind the filter's back. */
static const unsigned REFUSED[] = {
	SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd, SYS_kcmp,
	SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
	SYS_add_key, SYS_request_key, SYS_keyctl, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load,
	SYS_open_by_handle_at, SYS_name_to_handle_at,
	SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree, SYS_move_mount, SYS_fsopen, SYS_fsconfig,
	SYS_fsmount, SYS_fspick, SYS_mount_setattr, SYS_unshare, SYS_setns,
};

/* What a program has a network by. A listening socket that it inherited works without. A program that makes sockets in a
 * directory of its own makes Unix sockets, and still connects to nothing. */
static const unsigned REFUSED_NETWORK[] = {SYS_socketpair, SYS_connect};

enum { COUNT = sizeof REFUSED / sizeof *REFUSED, NETWORK_COUNT = sizeof REFUSED_NETWORK / sizeof *REFUSED_NETWORK };
enum { HEAD = 5, SOCKET_STEPS = 3, MOST = HEAD + COUNT + NETWORK_COUNT + SOCKET_STEPS + 2 };

/* One comparison: to the last instruction, which refuses, if the call has that number. */
static struct sock_filter refuse(unsigned number, size_t at, size_t last)
{
	return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, (unsigned char)(last - at - 1), 0);
}

/* To the last instruction, if the call makes a socket of a kind that the program may not make. */
static void refuse_sockets(struct sock_filter out[SOCKET_STEPS], bool unix_allowed, size_t at, size_t last)
{
	out[0] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, SOCKET_STEPS - 1);
	out[1] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]));
	out[2] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, unix_allowed ? AF_UNIX : AF_UNSPEC, 0,
	                                      (unsigned char)(last - at - SOCKET_STEPS));
}

static unsigned short write_filter(struct sock_filter out[MOST], bool network, bool unix_allowed)
{
	size_t at = HEAD, last = (size_t)HEAD + COUNT + (network ? NETWORK_COUNT + SOCKET_STEPS : 0) + 1;

	out[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	out[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	out[2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	out[3] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	out[4] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FIRST_OF_OTHERS, (unsigned char)(last - 5), 0);
	for (size_t i = 0; i < COUNT; i++, at++)
		out[at] = refuse(REFUSED[i], at, last);
	for (size_t i = 0; network && i < NETWORK_COUNT; i++, at++)
		out[at] = refuse(REFUSED_NETWORK[i], at, last);
	if (network) {
		refuse_sockets(out + at, unix_allowed, at, last);
		at += SOCKET_STEPS;
	}
	out[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	out[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	return (unsigned short)at;
}

static bool makes_sockets(const struct jail *jail)
{
	for (size_t i = 0; i < jail->place_count; i++)
		if (jail->places[i].kind == PLACE_SOCKETS)
			return true;
	return false;
}

void seccomp_restrict(const struct jail *jail)
{
	struct sock_filter filter[MOST];
	struct sock_fprog program = {.filter = filter};

	program.len = write_filter(filter, jail->seccomp_network, makes_sockets(jail));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
		fail("seccomp", NULL);
}

bool seccomp_is_there(void)
{
	/* A filter at no address: a kernel that has filters says that the address is wrong. */
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) != 0 && errno == EFAULT;
}
