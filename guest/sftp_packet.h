/* Packets of SFTP: numbers are big-endian, strings have their length before them. A reader that comes to the end of its
 * packet too early is bad from then on and gives zeros; a writer that has no room is full and writes nothing more. */
#ifndef BANGER_SFTP_PACKET_H
#define BANGER_SFTP_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fields.h"

struct sftp_in {
	const uint8_t *at;
	size_t left;
	bool bad;
};

uint8_t sftp_take_byte(struct sftp_in *in);
uint32_t sftp_take_u32(struct sftp_in *in);
uint64_t sftp_take_u64(struct sftp_in *in);
struct span sftp_take_string(struct sftp_in *in);

struct sftp_out {
	uint8_t *start;
	size_t used, size;
	bool full;
};

void sftp_put_byte(struct sftp_out *out, uint8_t value);
void sftp_put_u32(struct sftp_out *out, uint32_t value);
void sftp_put_u64(struct sftp_out *out, uint64_t value);
void sftp_put_bytes(struct sftp_out *out, const void *data, size_t length);
/* Puts the length first. */
void sftp_put_string(struct sftp_out *out, const void *data, size_t length);

#endif
