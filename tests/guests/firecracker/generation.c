#include "generation.h"

#include "machine.h"

/* Of the tables of ACPI: places of fields, from the begin of their table. */
enum {
	RSDP_AT = 0xe0000,
	RSDP_END = 0x100000,
	RSDP_STEP = 16,
	RSDP_XSDT = 24,
	HEADER_LENGTH = 4,
	HEADER_BYTES = 36,
	FADT_DSDT = 140,
	TABLE_MAX = 65536,
};

/* Of ACPI's machine language. */
enum { NAME = 0x08, BYTE = 0x0a, WORD = 0x0b, DOUBLE_WORD = 0x0c, QUAD_WORD = 0x0e, PACKAGE = 0x12, SHORT_LENGTH_MAX = 0x3f };

#define MAPPED_BYTES (1ULL << 30)

static uint64_t number_at(const uint8_t *at, size_t size)
{
	uint64_t value = 0;

	for (size_t i = size; i-- > 0;)
		value = value << 8 | at[i];
	return value;
}

/* A table that `at` has the address of; NULL if it is none that can be read. */
static const uint8_t *table_at(const uint8_t *at)
{
	uint64_t address = number_at(at, 8);

	return address && address < MAPPED_BYTES - TABLE_MAX ? (const uint8_t *)address : NULL;
}

static size_t length_of_table(const uint8_t *table)
{
	uint64_t length = number_at(table + HEADER_LENGTH, 4);

	return length < TABLE_MAX ? length : TABLE_MAX;
}

static const uint8_t *find_xsdt(void)
{
	for (uintptr_t at = RSDP_AT; at < RSDP_END; at += RSDP_STEP)
		if (same_bytes((const uint8_t *)at, "RSD PTR ", 8))
			return table_at((const uint8_t *)at + RSDP_XSDT);
	return NULL;
}

static const uint8_t *find_dsdt(void)
{
	const uint8_t *xsdt = find_xsdt();

	if (!xsdt)
		return NULL;
	for (size_t at = HEADER_BYTES; at + 8 <= length_of_table(xsdt); at += 8) {
		const uint8_t *table = table_at(xsdt + at);
		if (table && same_bytes(table, "FACP", 4))
			return table_at(table + FADT_DSDT);
	}
	return NULL;
}

/* An integer, after which `at` is at what follows. */
static uint64_t take_integer(const uint8_t **at)
{
	uint8_t kind = *(*at)++;
	size_t size = kind == BYTE ? 1 : kind == WORD ? 2 : kind == DOUBLE_WORD ? 4 : kind == QUAD_WORD ? 8 : 0;
	uint64_t value = size ? number_at(*at, size) : kind; /* zero and one are kinds of their own */

	*at += size;
	return value;
}

/* Its device has the name ADDR for a package of two integers: the lower and the upper half of the address. */
const uint8_t *generation_find(void)
{
	static const uint8_t name[] = {NAME, 'A', 'D', 'D', 'R', PACKAGE};
	enum { LONGEST = sizeof name + 2 + 2 * 9 };
	const uint8_t *dsdt = find_dsdt();

	if (!dsdt)
		return NULL;
	for (size_t at = HEADER_BYTES; at + LONGEST <= length_of_table(dsdt); at++) {
		const uint8_t *package = dsdt + at + sizeof name;
		if (!same_bytes(dsdt + at, name, sizeof name) || package[0] > SHORT_LENGTH_MAX || package[1] != 2)
			continue;
		package += 2;
		uint64_t low = take_integer(&package);
		uint64_t address = take_integer(&package) << 32 | low;
		return address && address < MAPPED_BYTES - GENERATION_BYTES ? (const uint8_t *)address : NULL;
	}
	return NULL;
}
