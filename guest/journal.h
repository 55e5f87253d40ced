/* systemd's journal, where the image's init is systemd. */
#ifndef BANGER_JOURNAL_H
#define BANGER_JOURNAL_H

/* For a guest that got another machine-id while its journald runs: that asks for the id once, when it
 * starts, and would write where nobody looks. Returns when the one that knows the old id is gone. */
void journal_begin_anew(void);

#endif
