#include "values.h"

#include <ctype.h>
#include <string.h>

#include "address.h"
#include "wire.h"

#define MTU_MAX 65535
/* The year 2116: what the kernel takes for a date, and nothing overflows by adding to it. */
#define CLOCK_MAX (INT64_MAX / 2)
/* What ext4 can be grown to. */
#define DISK_MAX (INT64_C(1) << 60)

static bool in_range(struct span span, int64_t most)
{
	int64_t value = (int64_t)load64((const uint8_t *)span.data);

	return value >= 0 && value <= most;
}

static bool is_hostname(struct span span)
{
	return span.length < HOSTNAME_SIZE && !memchr(span.data, '\n', span.length);
}

static bool is_machine_id(struct span span)
{
	for (size_t i = 0; i < span.length; i++)
		if (!isxdigit((unsigned char)span.data[i]))
			return false;
	return span.length == MACHINE_ID_LENGTH;
}

static bool is_uuid(struct span span)
{
	if (span.length != BOOT_ID_LENGTH)
		return false;
	for (size_t i = 0; i < span.length; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? span.data[i] != '-' : !isxdigit((unsigned char)span.data[i]))
			return false;
	}
	return true;
}

/* What is wrong with the field; NULL if nothing is. */
static const char *complaint(const struct field *field)
{
	struct span value = field->value;
	struct address address;
	uint8_t mac[MAC_BYTES];

	switch ((int)field->tag) {
	case TAG_CLOCK_NS: return in_range(value, CLOCK_MAX) ? NULL : "not a date";
	case TAG_ENTROPY:
		return value.length >= ENTROPY_MIN && value.length <= ENTROPY_MAX ?
			       NULL : "ENTROPY is 32 to 512 bytes";
	case TAG_HOSTNAME: return is_hostname(value) ? NULL : "not a host name";
	case TAG_MACHINE_ID: return is_machine_id(value) ? NULL : "not a machine id";
	case TAG_BOOT_ID: return is_uuid(value) ? NULL : "not a UUID";
	case TAG_MAC: return mac_parse(value, mac) ? NULL : "not a MAC address";
	case TAG_MTU: return in_range(value, MTU_MAX) ? NULL : "not an MTU";
	case TAG_ADDRESS: return address_parse(value, true, &address) ? NULL : "not an address";
	case TAG_GATEWAY: return address_parse(value, false, &address) ? NULL : "not a gateway";
	case TAG_DISK_BYTES: return in_range(value, DISK_MAX) ? NULL : "not the size of a disk";
	case TAG_GROW: return in_range(value, 1) ? NULL : "GROW is 0 or 1";
	case TAG_RESET_TCP: return in_range(value, 1) ? NULL : "RESET_TCP is 0 or 1";
	case TAG_IPV6: return in_range(value, 1) ? NULL : "IPV6 is 0 or 1";
	case TAG_RANDOMIZE: return in_range(value, 1) ? NULL : "RANDOMIZE is 0 or 1";
	case TAG_AWAIT_LINK: return in_range(value, 1) ? NULL : "AWAIT_LINK is 0 or 1";
	}
	return NULL;
}

int values_check(const struct fields *fields, struct err *err)
{
	struct fields rest = *fields;
	struct field field;

	while (fields_next(&rest, &field)) {
		const char *what = complaint(&field);

		if (what)
			return err_set(err, ERR_BAD_REQUEST, 0, "%s", what);
	}
	return 0;
}
