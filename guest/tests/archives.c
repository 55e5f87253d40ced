#include "archives.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

uint8_t archive[ARCHIVE_MAX];
size_t archive_length;

/* What the sanitizers find is no exit code among others. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "abort_on_error=1";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
	return "abort_on_error=1";
}

int run(int (*applet)(int argc, char **argv), const char *argument, bool reads)
{
	char own[256], *argv[] = { own, NULL }; /* applets write to their arguments */
	int ends[2], status;
	pid_t pid;

	snprintf(own, sizeof own, "%s", argument);
	signal(SIGPIPE, SIG_IGN);
	CHECK(pipe(ends) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		int quiet = open("/dev/null", O_WRONLY);

		dup2(reads ? ends[0] : ends[1], reads ? 0 : 1);
		dup2(quiet, 2);
		close(ends[0]);
		close(ends[1]);
		_exit(applet(1, argv));
	}
	close(ends[reads ? 0 : 1]);
	if (reads) {
		/* A reader that gives up early is part of the test. */
		for (size_t at = 0; at < archive_length;) {
			ssize_t written = write(ends[1], archive + at, archive_length - at);

			if (written < 0)
				break;
			at += (size_t)written;
		}
	} else {
		ssize_t got;

		archive_length = 0;
		while ((got = read(ends[0], archive + archive_length, ARCHIVE_MAX - archive_length)) > 0)
			archive_length += (size_t)got;
	}
	close(ends[reads ? 1 : 0]);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	CHECK(fchmod(fd, mode) == 0);
	close(fd);
}

bool file_is(const char *path, const char *text)
{
	char found[256] = { 0 };
	int fd = open(path, O_RDONLY | O_NOFOLLOW);
	ssize_t length = fd < 0 ? -1 : read(fd, found, sizeof found - 1);

	if (fd >= 0)
		close(fd);
	return length >= 0 && strcmp(found, text) == 0;
}

struct tar_header *add(char type, const char *name, const char *link, const char *contents)
{
	struct tar_header header = { .type = type };
	size_t length = strlen(contents);

	memcpy(header.name, name, strlen(name));
	memcpy(header.link, link, strlen(link));
	tar_put_number(header.mode, sizeof header.mode, type == '5' ? 0755 : 0644);
	tar_put_number(header.uid, sizeof header.uid, (int64_t)getuid());
	tar_put_number(header.gid, sizeof header.gid, (int64_t)getgid());
	tar_put_number(header.size, sizeof header.size, (int64_t)length);
	tar_put_number(header.mtime, sizeof header.mtime, 1);
	tar_seal(&header);
	memset(archive + archive_length, 0, 2 * TAR_BLOCK);
	memcpy(archive + archive_length, &header, sizeof header);
	memcpy(archive + archive_length + TAR_BLOCK, contents, length);
	archive_length += length ? 2 * TAR_BLOCK : TAR_BLOCK;
	return (struct tar_header *)(archive + archive_length - (length ? 2 : 1) * TAR_BLOCK);
}

void begin(void)
{
	archive_length = 0;
}

void finish(void)
{
	memset(archive + archive_length, 0, 2 * TAR_BLOCK);
	archive_length += 2 * TAR_BLOCK;
}

void add_records(const char *lines)
{
	char records[512];
	size_t used = 0;

	while (*lines) {
		size_t length = strcspn(lines, "\n"), key = strcspn(lines, "=");
		char name[64] = { 0 };

		memcpy(name, lines, key);
		CHECK(tar_put_record(records, sizeof records - 1, &used, name, lines + key + 1,
				     length - key - 1));
		lines += length + 1;
	}
	records[used] = 0;
	add('x', "pax", "", records);
}

static char base[32], back[4096];

void enter_scratch(void)
{
	strcpy(base, "/tmp/banger-tar-XXXXXX");
	CHECK(getcwd(back, sizeof back) && mkdtemp(base) && chdir(base) == 0);
	umask(022);
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
	(void)stat;
	(void)type;
	(void)walk;
	return remove(path);
}

void leave_scratch(void)
{
	CHECK(chdir(back) == 0 && nftw(base, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
}
