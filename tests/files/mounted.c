/* mounted SERVER rw|ro:SOURCE TARGET COMMAND...: a directory of this host mounted on this host as a guest has it: by this
 * host's kernel, the agent's own process and the server, with a socket pair for the stream. Runs the command, and ends with
 * it. Needs root, and should have a mount namespace of its own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "share_pump.h"

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "mounted: %s: %s\n", what, strerror(errno));
	exit(125);
}

static pid_t start_server(const char *server, const char *mount, int stream)
{
	char channel[32], option[4200];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	snprintf(channel, sizeof channel, "--channel=%d", stream);
	snprintf(option, sizeof option, "--mount=%s", mount);
	fcntl(stream, F_SETFD, 0);
	execl(server, server, channel, option, (char *)NULL);
	give_up(server);
}

static pid_t start_pump(struct share_mount *mount, int port, int mounted)
{
	pid_t pid = fork();

	if (pid == 0)
		share_pump(mount, 1, port, mounted);
	return pid;
}

static int run(char **argv)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execvp(*argv, argv);
		give_up(*argv);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 126;
}

int main(int argc, char **argv)
{
	struct share_mount mount_ = {.fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK)};
	int stream[2], mounted[2];
	char options[160];
	const uint8_t first = 0;

	if (argc < 5)
		return fputs("usage: mounted SERVER rw|ro:SOURCE TARGET COMMAND...\n", stderr), 125;
	if (mount_.fuse < 0)
		give_up("/dev/fuse");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) || pipe2(mounted, O_CLOEXEC | O_NONBLOCK))
		give_up("a stream");
	fcntl(stream[1], F_SETFL, O_NONBLOCK);
	mount_.user = (uint32_t)getuid(), mount_.group = (uint32_t)getgid();
	pid_t server = start_server(argv[1], argv[2], stream[0]), pump = start_pump(&mount_, stream[1], mounted[0]);
	close(stream[0]), close(stream[1]);
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", mount_.fuse);
	if (mount("banger", argv[3], "fuse.banger", MS_NOSUID | MS_NODEV, options) != 0)
		give_up(argv[3]);
	if (write(mounted[1], &first, 1) != 1)
		give_up("the pump");
	int code = run(argv + 4);
	umount2(argv[3], MNT_DETACH);
	kill(pump, SIGKILL), kill(server, SIGKILL);
	while (wait(NULL) > 0)
		continue;
	return code;
}
