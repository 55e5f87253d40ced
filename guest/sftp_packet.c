#include "sftp_packet.h"

#include <string.h>

static const uint8_t *take(struct sftp_in *in, size_t length)
{
	const uint8_t *at = in->at;

	if (in->bad || length > in->left) {
		in->bad = true;
		return NULL;
	}
	in->at += length;
	in->left -= length;
	return at;
}

uint8_t sftp_take_byte(struct sftp_in *in)
{
	const uint8_t *at = take(in, 1);

	return at ? *at : 0;
}

uint32_t sftp_take_u32(struct sftp_in *in)
{
	const uint8_t *at = take(in, 4);

	return at ? (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3] : 0;
}

uint64_t sftp_take_u64(struct sftp_in *in)
{
	uint64_t high = sftp_take_u32(in);

	return high << 32 | sftp_take_u32(in);
}

struct span sftp_take_string(struct sftp_in *in)
{
	size_t length = sftp_take_u32(in);
	const uint8_t *at = take(in, length);

	return (struct span){ at ? (const char *)at : "", at ? length : 0 };
}

void sftp_put_bytes(struct sftp_out *out, const void *data, size_t length)
{
	if (out->full || length > out->size - out->used) {
		out->full = true;
		return;
	}
	memcpy(out->start + out->used, data, length);
	out->used += length;
}

void sftp_put_byte(struct sftp_out *out, uint8_t value)
{
	sftp_put_bytes(out, &value, 1);
}

void sftp_put_u32(struct sftp_out *out, uint32_t value)
{
	uint8_t bytes[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value };

	sftp_put_bytes(out, bytes, sizeof bytes);
}

void sftp_put_u64(struct sftp_out *out, uint64_t value)
{
	sftp_put_u32(out, (uint32_t)(value >> 32));
	sftp_put_u32(out, (uint32_t)value);
}

void sftp_put_string(struct sftp_out *out, const void *data, size_t length)
{
	sftp_put_u32(out, (uint32_t)length);
	sftp_put_bytes(out, data, length);
}
