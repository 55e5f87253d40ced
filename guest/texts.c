#include "texts.h"

#include <string.h>
#include <unistd.h>

#include "files.h"

enum { OUT_SIZE = 65536 };

static char out[OUT_SIZE];
static size_t used;

void text_flush(void)
{
	if (write_all(1, out, used) < 0)
		_exit(1);
	used = 0;
}

void text_put(const char *text)
{
	size_t length = strlen(text) + 1;

	if (length > sizeof out - used)
		text_flush();
	memcpy(out + used, text, length);
	used += length;
}
