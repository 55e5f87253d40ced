#include "virtio.h"

#define BUS 0xd0000000ULL

enum {
	SLOT = 4096,
	SLOTS = 16,
	MAGIC_VALUE = 0x74726976,
	FEATURE_VERSION_1_WORD = 1,
	FEATURE_VERSION_1_BIT = 1,
	STATUS_FOUND = 1,
	STATUS_DRIVER = 2,
	STATUS_WORKS = 4,
	STATUS_FEATURES = 8,
	NO_INTERRUPT = 1,
};

enum reg {
	MAGIC = 0x00,
	KIND = 0x08,
	FEATURES_OF_DRIVER = 0x20,
	WORD_OF_DRIVER = 0x24,
	QUEUE = 0x30,
	QUEUE_LENGTH = 0x38,
	QUEUE_READY = 0x44,
	NOTIFY = 0x50,
	STATUS = 0x70,
	QUEUE_DESCRIPTORS = 0x80,
	QUEUE_OFFERED = 0x90,
	QUEUE_RETURNED = 0xa0,
};

static volatile uint8_t *device;

static uint32_t get(enum reg at)
{
	return *(volatile uint32_t *)(device + at);
}

static void set(enum reg at, uint32_t value)
{
	*(volatile uint32_t *)(device + at) = value;
}

static void set_address(enum reg at, const void *value)
{
	set(at, (uint32_t)(uint64_t)value);
	*(volatile uint32_t *)(device + at + 4) = (uint32_t)((uint64_t)value >> 32);
}

static bool find(uint32_t kind)
{
	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		device = (volatile uint8_t *)(BUS + slot * SLOT);
		if (get(MAGIC) == MAGIC_VALUE && get(KIND) == kind)
			return true;
	}
	return false;
}

bool virtio_begin(uint32_t kind, struct queue *queues, uint32_t count)
{
	if (!find(kind))
		return false;
	set(STATUS, 0);
	set(STATUS, STATUS_FOUND);
	set(STATUS, STATUS_FOUND | STATUS_DRIVER);
	set(WORD_OF_DRIVER, 0);
	set(FEATURES_OF_DRIVER, 0);
	set(WORD_OF_DRIVER, FEATURE_VERSION_1_WORD);
	set(FEATURES_OF_DRIVER, FEATURE_VERSION_1_BIT);
	set(STATUS, STATUS_FOUND | STATUS_DRIVER | STATUS_FEATURES);
	for (uint32_t i = 0; i < count; i++) {
		queues[i].number = i;
		queues[i].offered.flags = NO_INTERRUPT;
		set(QUEUE, i);
		set(QUEUE_LENGTH, QUEUE_SIZE);
		set_address(QUEUE_DESCRIPTORS, queues[i].descriptors);
		set_address(QUEUE_OFFERED, &queues[i].offered);
		set_address(QUEUE_RETURNED, &queues[i].returned);
		set(QUEUE_READY, 1);
	}
	set(STATUS, STATUS_FOUND | STATUS_DRIVER | STATUS_FEATURES | STATUS_WORKS);
	return true;
}

void virtio_describe(struct queue *queue, uint16_t at, void *buffer, uint32_t length, uint16_t flags)
{
	struct descriptor *each = &queue->descriptors[at];

	each->address = (uint64_t)buffer;
	each->length = length;
	each->flags = flags;
	each->next = (uint16_t)(at + 1);
}

void virtio_offer(struct queue *queue, uint16_t first)
{
	queue->offered.ring[queue->offered.index % QUEUE_SIZE] = first;
	BARRIER();
	queue->offered.index++;
	BARRIER();
	set(NOTIFY, queue->number);
}

bool virtio_take(struct queue *queue, uint16_t *first)
{
	if (queue->returned.index == queue->taken)
		return false;
	BARRIER();
	*first = (uint16_t)queue->returned.ring[queue->taken++ % QUEUE_SIZE].id;
	return true;
}
