/* What a system call of files answers, as a line of text: `CASE: ok`, `CASE: ENOENT`, `CASE: some facts`. The lines of two
 * directories are compared by whoever runs this. */
#ifndef CALLS_H
#define CALLS_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/* The case that the next lines belong to. */
void about(const char *what);
/* A line with the outcome of a call: 0 and more is "ok", -1 the name of errno. Returns the result. */
long told(const char *what, long result);
void fact(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define TRY(call) told(#call, (long)(call))

/* A directory of this case's own; what is left in it stays. */
void enter(const char *name);
void leave(void);

/* These do not fail quietly: the program ends. */
int opened(const char *path, int flags, mode_t mode);
void make(const char *path, const char *contents);
void tell_file(const char *path);
bool is_there(const char *path);

void cases_of_names(void);
void cases_of_renames(void);
void cases_of_attributes(void);
void cases_of_contents(void);
void cases_of_directories(void);
void cases_of_open_files(void);

#endif
