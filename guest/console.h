#ifndef BANGER_CONSOLE_H
#define BANGER_CONSOLE_H

/* One line to the console, as the kernel would write it. */
void console(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
