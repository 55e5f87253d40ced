/* Failures end the jail: the program never runs in less of a jail than the options ask for. */
#ifndef BANGER_FAIL_H
#define BANGER_FAIL_H

/* Exit codes like a shell's when it cannot start a program. */
enum { EXIT_USAGE = 125, EXIT_REFUSED = 126, EXIT_NO_PROGRAM = 127 };

/* Also write failures to this descriptor. -1, the initial value: only to stderr. */
void fail_report_to(int report);

/* Writes "WHAT: PATH: strerror(errno)", on stderr after "jail: ", and exits; `path` may be NULL. */
void fail(const char *what, const char *path) __attribute__((noreturn));

/* Writes "jail: WHAT: ARGUMENT" and exits, for a wrong option. */
void fail_usage(const char *what, const char *argument) __attribute__((noreturn));

#endif
