/* Execs: records of the processes that the host started, their streams and their ends. */
#ifndef BANGER_EXEC_H
#define BANGER_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "fields.h"
#include "loop.h"
#include "stream.h"
#include "verbs.h"
#include "wire.h"

enum {
	EXEC_RUNNING_MAX = 256, /* also those that ended and whose host has not heard of it yet */
	EXEC_RETIRED_MAX = 64,  /* ended, told, and not forgotten by the host */
	DIALED_MAX = 128,       /* connections to ports, which are beside the others */
	EXEC_MAX = EXEC_RUNNING_MAX + EXEC_RETIRED_MAX + DIALED_MAX + 1,
	STREAM_STDIN = 0,
	STREAM_STDOUT = 1,
	STREAM_STDERR = 2,
};

enum exec_state { EXEC_STARTING, EXEC_RUNNING, EXEC_ENDED };

/* What a process writes. */
struct output {
	struct watch watch; /* fd -1: the source has ended */
	struct stream stream;
	bool eof_sent;
	size_t drain_left; /* once the process has ended: what it may have left in the pipe */
};

/* What a process reads. */
struct input {
	struct watch watch; /* fd -1: nobody reads */
	struct stream stream;
	bool eof; /* the host has sent EOF */
	bool credit_due;
	uint64_t credited;
};

/* The exit code of a connection that was reset. */
enum { DIAL_BROKEN = 1 };

/* A connection to a port of the guest. */
struct dial {
	bool dialed; /* the exec is one: its input and its first output are a socket */
	uint16_t port;
	size_t tried; /* addresses */
};

struct exec {
	uint32_t channel;
	pid_t pid; /* also the id of its session and process group; 0: it has no process */
	enum exec_state state;
	bool tty;
	bool process_1; /* of a space of its own */
	struct dial dial;
	bool attached;    /* to the present session of the host */
	uint32_t session; /* that asked for it */
	struct watch start; /* tells of a failed start, or closes at a successful one; a socket that connects */
	struct input input;
	struct output outputs[2]; /* stdout, stderr; with a tty only the first */
	struct timer timeout;
	int exit_code, exit_signal;
	bool timed_out;
	bool exit_sent;
	uint64_t retired_at; /* counts up; 0: not retired */
	uint8_t label[LABEL_MAX];
	size_t label_length;
};

struct exec *exec_find(uint32_t channel);
/* Answers the request, now or when the program has started or failed to. */
void exec_start(const struct request *request);
/* Answers when a port of the guest has accepted a connection, or none of its addresses did. */
void exec_dial(const struct request *request);
void exec_reaped(pid_t pid, int status);
/* Whether it is an exec that is process 1 of a space of its own, and has not ended. */
bool exec_is_process_1(pid_t pid);
/* A stream frame from the host. */
void exec_take(const struct frame *frame);
/* Writes as many stream frames as fit and are due, every exec having its turn. */
size_t exec_fill(uint8_t *at, size_t room);
/* The host's session has ended, and connections to ports with it. */
void exec_detach_all(void);
void exec_attach(struct exec *exec);
void exec_forget(struct exec *exec);
/* The process alone, or everything in its session. */
int exec_signal(struct exec *exec, int signal_number, bool session, struct err *err);
int exec_resize(struct exec *exec, int rows, int columns, struct err *err);
/* Those that have a process. */
size_t exec_running(void);
/* The n-th record, NULL past the end. */
struct exec *exec_at(size_t index);
/* No stream frame is waiting to be sent. */
bool exec_flushed(void);

#endif
