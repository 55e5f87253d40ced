/* Texts on stdout, each with a NUL at its end, as applets give lists. */
#ifndef BANGER_TEXTS_H
#define BANGER_TEXTS_H

/* Written by the next flush at the latest. A text has at most 65535 bytes. Nothing can be put right once the reader is
 * gone: then the process ends. */
void text_put(const char *text);
void text_flush(void);

#endif
