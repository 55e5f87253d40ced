#include "jobs.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/wait.h>

#include "child.h"
#include "fd.h"
#include "files.h"
#include "out.h"
#include "session.h"

enum { JOBS_MAX = 8 };

struct job {
	pid_t pid; /* 0: free */
	uint32_t channel, session;
	int report; /* a struct err comes here if the work failed */
	void (*put)(struct field_writer *fields);
	void (*undo)(void);
};

static struct job jobs[JOBS_MAX];

static struct job *job_with(pid_t pid)
{
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (jobs[i].pid == pid)
			return &jobs[i];
	return NULL;
}

static _Noreturn void job_child(int (*work)(struct err *err), int report)
{
	struct err err = { .code = ERR_IO };

	child_reset_signals();
	if (work(&err) < 0)
		write_all(report, &err, sizeof err);
	_exit(0);
}

static int job_spawn(struct job *job, int (*work)(struct err *err), struct err *err)
{
	AUTO_FD write_end = -1;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(err, ERR_IO, errno, "pipe");
	job->report = ends[0];
	write_end = ends[1];
	job->pid = fork();
	if (job->pid == 0)
		job_child(work, write_end);
	if (job->pid < 0) {
		job->pid = 0;
		fd_close(&job->report);
		return err_set(err, ERR_IO, errno, "fork");
	}
	return 0;
}

void job_run(const struct request *request, int (*work)(struct err *err),
	     void (*put)(struct field_writer *fields), void (*undo)(void))
{
	struct job *job = job_with(0);
	struct err err;

	if (!job) {
		err_set(&err, ERR_BUSY, 0, "too many jobs are running");
		out_fail(request->channel, &err);
		return;
	}
	job->channel = request->channel;
	job->session = session_number();
	job->put = put;
	job->undo = undo;
	if (job_spawn(job, work, &err) < 0)
		out_fail(request->channel, &err);
}

bool jobs_reaped(pid_t pid, int status)
{
	struct job *job = job_with(pid);
	struct err err;
	bool failed;

	if (!job)
		return false;
	failed = read(job->report, &err, sizeof err) == (ssize_t)sizeof err;
	if (!failed && WIFSIGNALED(status))
		failed = err_set(&err, ERR_IO, 0, "ended by signal %d", WTERMSIG(status)) < 0;
	fd_close(&job->report);
	job->pid = 0;
	if (job->session != session_number()) {
		if (job->undo)
			job->undo();
		return true;
	}
	if (failed) {
		out_fail(job->channel, &err);
	} else {
		struct field_writer *fields = out_begin(FRAME_OK, job->channel);
		if (job->put)
			job->put(fields);
		out_end();
	}
	return true;
}
