/* What a request says of a machine: lines of text become its addresses and its policy. */
#ifndef BANGER_RELAY_TOLD_H
#define BANGER_RELAY_TOLD_H

/* `text` is what follows "machine ", and is taken apart. NULL: done; otherwise code and text of the error, and nothing has
 * changed. */
const char *machine_is_told(char *text);

#endif
