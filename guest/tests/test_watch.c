#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applet.h"
#include "archives.h"
#include "check.h"

enum { LONGEST_MS = 20000 };

static pid_t child;
static int say, hear;
static char heard[1 << 16];
static size_t heard_length;

static void start(const char *option, const char *path)
{
	char words[2][64];
	char *argv[] = { words[0], words[1], NULL };
	int in[2], out[2];

	snprintf(words[0], sizeof words[0], "%s", *option ? option : path);
	snprintf(words[1], sizeof words[1], "%s", path);
	CHECK(pipe(in) == 0 && pipe(out) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		_exit(watch_tree(*option ? 2 : 1, argv));
	}
	close(in[0]);
	close(out[1]);
	say = in[1];
	hear = out[0];
	heard_length = 0;
}

/* The exit code, after the end of stdin if that is still open. */
static int end(void)
{
	int status;

	close(say);
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
	close(hear);
	return WEXITSTATUS(status);
}

/* Takes the next event as "KIND PATH" or "KIND PATH NEW". */
static const char *next(void)
{
	static char event[9000];
	size_t texts = 0, length = 0;

	for (;;) {
		struct pollfd watched = { .fd = hear, .events = POLLIN };
		ssize_t got;

		for (texts = length = 0; length < heard_length && texts < 3; length++)
			texts += heard[length] == 0;
		if (texts == 3)
			break;
		CHECK(poll(&watched, 1, LONGEST_MS) == 1);
		got = read(hear, heard + heard_length, sizeof heard - heard_length);
		if (got == 0)
			return "";
		CHECK(got > 0);
		heard_length += (size_t)got;
	}
	memcpy(event, heard, length);
	for (size_t i = 0; i + 1 < length; i++)
		event[i] = event[i] ? event[i] : ' ';
	while (length > 1 && event[length - 2] == ' ')
		event[--length - 1] = 0;
	length = strlen(event);
	texts = 0;
	for (size_t i = 0; texts < 3; i++)
		if (heard[i] == 0 && ++texts == 3)
			memmove(heard, heard + i + 1, heard_length -= i + 1);
	return event;
}

#define NEXT_IS(text) CHECK(strcmp(next(), text) == 0)

/* How often a change is told as "created", then "modified", depends on who is faster. */
static void until(const char *text)
{
	for (const char *event; strcmp(event = next(), text) != 0;)
		CHECK(strncmp(event, "modified ", 9) == 0 || strncmp(event, "created ", 8) == 0);
}

static void changes_in_a_directory_are_told(void)
{
	CHECK(mkdir("watched", 0755) == 0 && mkdir("watched/below", 0755) == 0 && mkdir("away", 0755) == 0);
	write_file("away/new", "x", 0644);
	start("", "watched");
	NEXT_IS("ready");
	write_file("watched/file", "one", 0644);
	NEXT_IS("created file");
	NEXT_IS("modified file");
	CHECK(rename("watched/file", "watched/other \n") == 0);
	until("moved file other \n");
	CHECK(rename("away/new", "watched/new") == 0);
	NEXT_IS("created new");
	CHECK(rename("watched/new", "away/new") == 0);
	NEXT_IS("deleted new"); /* without anything that follows */
	write_file("watched/below/unseen", "x", 0644);
	CHECK(chmod("watched/other \n", 0600) == 0);
	NEXT_IS("modified other \n");
	CHECK(unlink("watched/other \n") == 0);
	NEXT_IS("deleted other \n");
	CHECK(end() == 0);
}

static void directories_below_are_watched_also_new_ones(void)
{
	start("--recursive", "watched");
	NEXT_IS("ready");
	write_file("watched/below/seen", "", 0644);
	NEXT_IS("created below/seen");
	CHECK(mkdir("watched/below/deep", 0755) == 0);
	until("created below/deep");
	CHECK(mkdir("away/tree", 0755) == 0 && mkdir("away/tree/inner", 0755) == 0);
	write_file("away/tree/inner/file", "", 0644);
	CHECK(rename("away/tree", "watched/tree") == 0);
	until("created tree");
	NEXT_IS("created tree/inner");
	NEXT_IS("created tree/inner/file");
	/* What is in it has its new path then. */
	CHECK(rename("watched/tree", "watched/below/deep/tree") == 0);
	NEXT_IS("moved tree below/deep/tree");
	CHECK(unlink("watched/below/deep/tree/inner/file") == 0);
	NEXT_IS("deleted below/deep/tree/inner/file");
	/* What left is watched no more. */
	CHECK(rename("watched/below/deep", "away/deep") == 0);
	NEXT_IS("deleted below/deep");
	write_file("away/deep/tree/inner/unseen", "", 0644);
	CHECK(mkdir("watched/last", 0755) == 0);
	NEXT_IS("created last");
	CHECK(rmdir("watched/last") == 0);
	NEXT_IS("deleted last");
	CHECK(symlink("../away", "watched/link") == 0);
	NEXT_IS("created link");
	write_file("away/unseen", "", 0644);
	CHECK(unlink("watched/link") == 0);
	NEXT_IS("deleted link");
	CHECK(end() == 0);
}

static void lost_events_are_told(void)
{
	char name[64];

	start("--recursive", "watched");
	NEXT_IS("ready");
	CHECK(kill(child, SIGSTOP) == 0);
	for (int i = 0; i < 40000; i++) {
		snprintf(name, sizeof name, "watched/flood-%d", i % 2);
		write_file(name, "", 0644);
		CHECK(unlink(name) == 0);
	}
	CHECK(mkdir("watched/unheard", 0755) == 0 && kill(child, SIGCONT) == 0);
	while (strcmp(next(), "overflow") != 0)
		;
	write_file("watched/unheard/file", "", 0644);
	while (strcmp(next(), "created unheard/file") != 0)
		;
	CHECK(end() == 0);
}

static void it_ends_with_the_directory(void)
{
	write_file("file", "", 0644);
	start("", "file");
	CHECK(strcmp(next(), "") == 0 && end() == PATH_MISSING);
	start("", "nothing");
	CHECK(strcmp(next(), "") == 0 && end() == PATH_MISSING);
	CHECK(mkdir("short", 0755) == 0);
	start("--recursive", "short");
	NEXT_IS("ready");
	CHECK(rmdir("short") == 0);
	NEXT_IS("deleted");
	CHECK(strcmp(next(), "") == 0 && end() == 0);
}

void test_watch(void)
{
	enter_scratch();
	changes_in_a_directory_are_told();
	directories_below_are_watched_also_new_ones();
	lost_events_are_told();
	it_ends_with_the_directory();
	leave_scratch();
}
