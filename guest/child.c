#include "child.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "agent.h"
#include "applet.h"
#include "fd.h"
#include "files.h"
#include "secret.h"
#include "space.h"
#include "users.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum {
	USERS_FILE_MAX = 4 << 20,
	DEFAULTS = 6,
	TTY_GROUP = 5,
	FILES_SOFT = 1024,
	FILES_HARD = 524288,
	FAILED = 127,
};

extern char **environ;

void child_reset_signals(void)
{
	struct sigaction normal = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < _NSIG; i++)
		sigaction(i, &normal, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static char *duplicate(struct span span)
{
	char *copy = malloc(span.length + 1);

	if (copy) {
		memcpy(copy, span.data, span.length);
		copy[span.length] = 0;
	}
	return copy;
}

/* The values of all fields with the tag, with room for `extra` more and a NULL. */
static char **list_of(const struct fields *fields, enum tag tag, size_t extra)
{
	struct fields rest = *fields;
	struct field field;
	size_t used = 0;
	char **list = calloc(fields_count(fields, tag) + extra + 1, sizeof *list);

	while (list && fields_next(&rest, &field)) {
		if (field.tag != tag)
			continue;
		list[used] = duplicate(field.value);
		if (!list[used++])
			return NULL;
	}
	return list;
}

static void add_default(char **env, const char *entry)
{
	size_t key = strcspn(entry, "=") + 1, count = 0;

	for (; env[count]; count++)
		if (strncmp(env[count], entry, key) == 0)
			return;
	env[count] = strdup(entry);
}

/* They are no part of the request, so that neither the host's records nor its memory need their values. */
static char **with_secrets(const struct fields *fields, const char *secrets, size_t length)
{
	const char *end, *from = secrets ? secrets : "";
	size_t count = 0;
	char **env;

	for (size_t i = 0; i < length; i++)
		count += !from[i];
	env = list_of(fields, TAG_ENV, count + DEFAULTS);
	for (; env && (end = memchr(from, 0, length)); from = end + 1) {
		length -= (size_t)(end + 1 - from);
		add_default(env, from);
	}
	return env;
}

static void add_user_default(char **env, const char *key, const char *value)
{
	char entry[USER_TEXT_MAX + 16];

	snprintf(entry, sizeof entry, "%s=%s", key, value);
	add_default(env, entry);
}

int child_find_user(const struct fields *fields, struct user *user, struct err *err)
{
	char spec[USER_TEXT_MAX];
	struct span value;
	size_t length;
	char *passwd = file_load("/etc/passwd", USERS_FILE_MAX, &length);
	char *group = file_load("/etc/group", USERS_FILE_MAX, &length);

	spec[0] = 0;
	if (fields_span(fields, TAG_USER, &value) && !span_copy(value, spec, sizeof spec))
		return err_set(err, ERR_NO_SUCH_USER, 0, "the user's name is too long");
	return user_resolve(user, spec, passwd ? passwd : "", group ? group : "", err);
}

static int open_tty(const struct child_plan *plan, struct err *err)
{
	int fd = ioctl(plan->tty_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, ERR_IO, errno, "terminal");
	if (ioctl(fd, TIOCSCTTY, 0) < 0)
		return err_set(err, ERR_IO, errno, "controlling terminal");
	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	return 0;
}

static int open_pipes(const struct child_plan *plan, struct err *err)
{
	for (int i = 0; i < 3; i++) {
		int fd = plan->stdio[i];

		if (fd < 0)
			fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return err_set(err, ERR_IO, errno, "/dev/null");
		if (dup2(fd, i) < 0)
			return err_set(err, ERR_IO, errno, "standard streams");
	}
	return 0;
}

/* Opening /dev/stdout and the like asks for the permissions of the pipe or terminal. */
static void give_stdio(const struct user *user, bool tty)
{
	struct stat stat;

	for (int i = 0; i < 3; i++)
		if (fstat(i, &stat) == 0 && (tty || S_ISFIFO(stat.st_mode)) &&
		    fchown(i, user->uid, tty ? TTY_GROUP : user->gid) < 0)
			continue; /* the program may never ask */
}

static int become(const struct user *user, struct err *err)
{
	if (setgroups(user->group_count, user->groups) < 0 || setgid(user->gid) < 0 ||
	    setuid(user->uid) < 0)
		return err_set(err, ERR_IO, errno, "user %u", user->uid);
	return 0;
}

/* As root: what a container engine makes for an image's working directory is root's, too. */
static int make_working_directory(const struct fields *fields, struct err *err)
{
	struct span value;
	char *path;

	if (!fields_int(fields, TAG_MAKE_CWD, 0) || !fields_span(fields, TAG_CWD, &value) || !value.length)
		return 0;
	path = duplicate(value);
	if (!path || make_directories(path) < 0)
		return err_set(err, ERR_BAD_CWD, errno, "%.120s", path ? path : "");
	return 0;
}

static int change_directory(const struct fields *fields, struct err *err)
{
	struct span value;
	char *path = "/";

	if (fields_span(fields, TAG_CWD, &value) && value.length)
		path = duplicate(value);
	if (!path || chdir(path) < 0)
		return err_set(err, ERR_BAD_CWD, errno, "%.120s", path ? path : "");
	return 0;
}

static int run_program(char **argv, const struct user *user, struct err *err)
{
	const char *program = argv[0];
	int number;

	if (!program) {
		/* The login shell, told so by the dash. */
		static char *shell[2];
		char name[USER_TEXT_MAX + 1];
		const char *slash = strrchr(user->shell, '/');

		snprintf(name, sizeof name, "-%s", slash ? slash + 1 : user->shell);
		program = user->shell;
		shell[0] = name;
		argv = shell;
	}
	execvp(program, argv);
	number = errno;
	/* What is there but no file to run says EACCES or ENOEXEC; a missing interpreter ENOENT. */
	if (number == ENOENT || number == ENOTDIR)
		return err_set(err, ERR_NOT_FOUND, number, "%.120s", program);
	return err_set(err, ERR_NOT_EXECUTABLE, number, "%.120s", program);
}

static void set_limits(void)
{
	struct rlimit files = { FILES_SOFT, FILES_HARD };

	setrlimit(RLIMIT_NOFILE, &files);
	/* The agent's own protection from the out-of-memory killer is not inherited. */
	if (!agent.is_init) {
		AUTO_FD fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
		if (fd >= 0 && write(fd, "0", 1) < 0)
			return;
	}
}

/* What the user wants instead: "RESOURCE SOFT HARD", each a number. */
static int set_asked_limits(const struct fields *fields, struct err *err)
{
	struct fields rest = *fields;
	struct field field;

	while (fields_next(&rest, &field)) {
		unsigned long long soft, hard;
		char text[64];
		int resource;

		if (field.tag != TAG_RLIMIT)
			continue;
		if (!span_copy(field.value, text, sizeof text) ||
		    sscanf(text, "%d %llu %llu", &resource, &soft, &hard) != 3)
			return err_set(err, ERR_BAD_REQUEST, 0, "a limit has three numbers");
		if (setrlimit(resource, &(struct rlimit){ soft, hard }) < 0)
			return err_set(err, ERR_IO, errno, "limit %.60s", text);
	}
	return 0;
}

static int run_applet(const char *name, char **argv, int report_fd)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	/* An applet does not exec: what close-on-exec would do is done by hand. Closing the report
	 * tells of the start; the other execs' pipes must not be held open from here. */
	close(report_fd);
	syscall(SYS_close_range, 3, ~0U, 0);
	return applet_run(name, argc, argv);
}

static int child_prepare(const struct child_plan *plan, struct user *user, struct err *err)
{
	child_reset_signals();
	setsid();
	umask(022);
	set_limits();
	if (set_asked_limits(&plan->fields, err) < 0)
		return -1;
	if (plan->process_1 && space_prepare(err) < 0)
		return -1;
	if ((plan->tty ? open_tty(plan, err) : open_pipes(plan, err)) < 0)
		return -1;
	if (child_find_user(&plan->fields, user, err) < 0)
		return -1;
	give_stdio(user, plan->tty);
	if (make_working_directory(&plan->fields, err) < 0 || become(user, err) < 0)
		return -1;
	return change_directory(&plan->fields, err);
}

static int child_start(const struct child_plan *plan, struct err *err)
{
	static struct user user;
	size_t length = 0;
	struct span applet;
	bool is_applet = fields_span(&plan->fields, TAG_APPLET, &applet);
	char *secrets = is_applet ? NULL : secret_variables(&length); /* as root */
	char **argv, **env;

	if (child_prepare(plan, &user, err) < 0)
		return -1;
	argv = list_of(&plan->fields, TAG_ARGV, 0);
	env = with_secrets(&plan->fields, secrets, length);
	if (!argv || !env)
		return err_set(err, ERR_IO, ENOMEM, "arguments");
	add_default(env, DEFAULT_PATH);
	add_user_default(env, "HOME", user.home);
	add_user_default(env, "SHELL", user.shell);
	if (user.name[0]) {
		add_user_default(env, "USER", user.name);
		add_user_default(env, "LOGNAME", user.name);
	}
	if (plan->tty)
		add_default(env, "TERM=xterm");
	environ = env; /* the PATH that counts is the request's */
	if (is_applet)
		_exit(run_applet(duplicate(applet), argv, plan->report_fd));
	return run_program(argv, &user, err);
}

_Noreturn void child_run(const struct child_plan *plan)
{
	struct err err = { .code = ERR_IO };

	child_start(plan, &err);
	/* Fits into the pipe at once; the reader is the same program. */
	write_all(plan->report_fd, &err, sizeof err);
	_exit(FAILED);
}
