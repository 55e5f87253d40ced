/* Whole small files. */
#ifndef BANGER_FILES_H
#define BANGER_FILES_H

#include <stddef.h>
#include <sys/types.h>

/* Reads at most size - 1 bytes and ends them with a NUL. Returns the length, or -1 with errno. */
ssize_t file_read(const char *path, char *text, size_t size);
/* As file_read, without a trailing newline. */
ssize_t file_read_line(const char *path, char *text, size_t size);
/* As file_read, but a whole regular file: EINVAL if it is something else, or does not fit. */
ssize_t file_read_plain(const char *path, char *text, size_t size);
/* Reads a whole regular file of at most `most` bytes into fresh memory. NULL with errno. */
char *file_load(const char *path, size_t most, size_t *length);
/* Visits each whole line, without its newline, of a file that may be longer than fits into memory. */
typedef void line_visit(char *line, void *context);
void file_each_line(const char *path, line_visit *visit, void *context);
/* Puts the text into the file at the path, or a new file into the place of what is no plain file
 * there, a link for instance. A file with that very text is left alone. -1 with errno. */
int file_replace(const char *path, const char *text, size_t length, mode_t mode);
int write_all(int fd, const void *bytes, size_t length);
/* Makes the directory and what is missing above it. -1 with errno. */
int make_directories(const char *path);

#endif
