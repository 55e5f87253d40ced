/* The header block of a tar archive (POSIX ustar), the records that extend it (pax), and the numbers of
 * both. Pure, no I/O. */
#ifndef BANGER_TAR_H
#define BANGER_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "fields.h"

enum {
	TAR_BLOCK = 512,
	/* What one extended header may have. */
	TAR_EXTENSION_MAX = 1 << 20,
	/* Components of a name, and bytes: as many as are written are read. */
	TAR_DEPTH_MAX = 1000,
	TAR_PATH_SIZE = 65536,
};

struct tar_header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char user[32];
	char group[32];
	char major[8];
	char minor[8];
	char prefix[155];
	char rest[12];
};

/* Writes octal digits and a NUL; false if the number does not fit. */
bool tar_put_number(char *field, size_t size, int64_t value);
/* Reads octal digits, with blanks and NULs around them, or the base-256 form that GNU tar uses for what
 * octal cannot hold. False for anything else. */
bool tar_get_number(const char *field, size_t size, int64_t *value);
/* Fills magic and checksum: the last thing to do to a header. */
void tar_seal(struct tar_header *header);
bool tar_checksum_valid(const struct tar_header *header);
bool tar_is_zero(const struct tar_header *header);
/* How many bytes of the prefix stand before the name. */
size_t tar_prefix_length(const struct tar_header *header);

/* Appends "LENGTH key=value\n"; false, and nothing appended, if it does not fit. */
bool tar_put_record(char *text, size_t size, size_t *used, const char *key, const char *value,
		    size_t length);
/* Takes the next record off a text that is not empty; false if it is malformed. */
bool tar_get_record(struct span *text, struct span *key, struct span *value);

/* What a record may say, or take back with an empty value. All zeros: nothing was said. */
struct tar_given {
	bool given;
	int64_t value;
};

/* Digits and nothing else, any number of zeros first. */
bool tar_get_decimal(struct span text, int64_t *value);
/* Decimal seconds; what is finer than a nanosecond is cut off. */
bool tar_get_time(struct span text, struct timespec *time);
bool tar_take_number(struct tar_given *number, struct span value);

#endif
