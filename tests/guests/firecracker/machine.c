#include "machine.h"

#include "guest.h"

enum {
	SERIAL = 0x3f8,
	KEYBOARD_DATA = 0x60,
	KEYBOARD_STATUS = 0x64,
	KEYBOARD_HAS_DATA = 1,
	KEYBOARD_RESET = 0xfe,
	KEY_DELETE = 0x71, /* of scan codes set 2, after 0xe0; it is released with 0xf0 before it */
	STACK_BYTES = 65536,
	PAGE = 4096,
	ENTRIES = PAGE / 8,
};

#define DEVICES_BASE 0xc0000000ULL
#define HUGE_PAGE (1ULL << 21)
#define PRESENT_WRITABLE 3ULL
#define IS_HUGE 0x80ULL

static uint8_t stack[STACK_BYTES] __attribute__((aligned(16), used));
static uint64_t devices[ENTRIES] __attribute__((aligned(PAGE)));

static void out(uint8_t value, uint16_t port)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "d"(port));
}

static uint8_t in(uint16_t port)
{
	uint8_t value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "d"(port));
	return value;
}

void machine_print(const char *text)
{
	while (*text)
		out((uint8_t)*text++, SERIAL);
}

void machine_reset(void)
{
	for (;;)
		out(KEYBOARD_RESET, KEYBOARD_STATUS);
}

bool machine_asked_to_end(void)
{
	bool asked = false;

	while (in(KEYBOARD_STATUS) & KEYBOARD_HAS_DATA)
		asked |= in(KEYBOARD_DATA) == KEY_DELETE;
	return asked;
}

uint64_t machine_cycles(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* The page tables of the boot protocol map the first GiB; devices are in the fourth. */
static void map_devices(void)
{
	uint64_t root;
	__asm__ volatile("mov %%cr3, %0" : "=r"(root));
	uint64_t *level_4 = (uint64_t *)(root & ~(uint64_t)(PAGE - 1));
	uint64_t *level_3 = (uint64_t *)(level_4[0] & ~(uint64_t)(PAGE - 1));
	for (uint64_t i = 0; i < ENTRIES; i++)
		devices[i] = (DEVICES_BASE + i * HUGE_PAGE) | IS_HUGE | PRESENT_WRITABLE;
	level_3[DEVICES_BASE >> 30] = (uint64_t)devices | PRESENT_WRITABLE;
	__asm__ volatile("mov %0, %%cr3" ::"r"(root) : "memory");
}

__attribute__((used)) static void machine_main(void)
{
	map_devices();
	guest_run();
}

__attribute__((naked)) void _start(void)
{
	__asm__ volatile("lea stack + %c0, %%rsp\n\tcall machine_main\n" ::"i"(STACK_BYTES));
}

/* Strings of the processor: much faster than loops where instructions are emulated. */
void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size)::"memory");
	return to;
}

void *memset(void *at, int value, size_t size)
{
	void *to = at;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
	return at;
}

bool same_bytes(const void *one, const void *other, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((const uint8_t *)one)[i] != ((const uint8_t *)other)[i])
			return false;
	return true;
}

size_t length_of(const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	return length;
}
