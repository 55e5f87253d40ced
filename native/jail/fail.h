/* Failures end the program: nothing runs in less of a jail than was asked for. */
#ifndef BANGER_FAIL_H
#define BANGER_FAIL_H

/* Exit codes, as of a shell that cannot start a program. */
enum { EXIT_USAGE = 125, EXIT_REFUSED = 126, EXIT_NO_PROGRAM = 127 };

/* Failures go to this descriptor, too. -1, as at first: only to stderr. */
void fail_report_to(int report);

/* "WHAT: PATH: strerror(errno)"; `path` may be NULL. On stderr "jail: " comes before it. */
void fail(const char *what, const char *path) __attribute__((noreturn));

/* "jail: WHAT: ARGUMENT", for options that are wrong. */
void fail_usage(const char *what, const char *argument) __attribute__((noreturn));

#endif
