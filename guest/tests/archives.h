/* One archive at a time, made entry by entry, and the applets that read and write it. */
#ifndef BANGER_TESTS_ARCHIVES_H
#define BANGER_TESTS_ARCHIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tar.h"

enum { ARCHIVE_MAX = 1 << 20 };

extern uint8_t archive[ARCHIVE_MAX];
extern size_t archive_length;

void begin(void);
/* Up to a block of contents. The header may be changed: then it is to be sealed again. */
struct tar_header *add(char type, const char *name, const char *link, const char *contents);
/* An extended header of lines "key=value". */
void add_records(const char *lines);
/* The two blocks of zeros. */
void finish(void);

/* Runs an applet in a child, with the archive as its input or as the place of its output. Its exit code. */
int run(int (*applet)(int argc, char **argv), const char *argument, bool reads);

/* A directory of the test's own, and back out of it. */
void enter_scratch(void);
void leave_scratch(void);

void write_file(const char *path, const char *text, mode_t mode);
bool file_is(const char *path, const char *text);

#endif
