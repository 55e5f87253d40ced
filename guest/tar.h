/* The header block of a tar archive (POSIX ustar), and the records that extend it (pax). Pure, no
 * I/O. */
#ifndef BANGER_TAR_H
#define BANGER_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TAR_BLOCK = 512, TAR_NAME_MAX = 100 };

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
/* Reads octal digits, or the base-256 form that GNU tar uses for what octal cannot hold. */
bool tar_get_number(const char *field, size_t size, int64_t *value);
/* Fills magic and checksum: the last thing to do to a header. */
void tar_seal(struct tar_header *header);
bool tar_checksum_valid(const struct tar_header *header);
bool tar_is_zero(const struct tar_header *header);

/* Appends "LENGTH key=value\n"; false, and nothing appended, if it does not fit. */
bool tar_put_record(char *text, size_t size, size_t *used, const char *key, const char *value,
		    size_t length);
/* Takes the next record off [*at, end). False at the end; *bad tells whether it was a proper one. */
bool tar_get_record(const char **at, const char *end, const char **key, size_t *key_length,
		    const char **value, size_t *value_length, bool *bad);

#endif
