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

typedef volatile uint8_t *registers;

static uint32_t get(registers device, enum reg at)
{
	return *(volatile uint32_t *)(device + at);
}

static void set(registers device, enum reg at, uint32_t value)
{
	*(volatile uint32_t *)(device + at) = value;
}

static void set_address(registers device, enum reg at, const void *value)
{
	set(device, at, (uint32_t)(uint64_t)value);
	*(volatile uint32_t *)(device + at + 4) = (uint32_t)((uint64_t)value >> 32);
}

/* The first device of this kind; NULL if there is none. */
static registers find(uint32_t kind)
{
	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		registers device = (registers)(BUS + slot * SLOT);
		if (get(device, MAGIC) == MAGIC_VALUE && get(device, KIND) == kind)
			return device;
	}
	return NULL;
}

bool virtio_begin(uint32_t kind, struct queue *queues, uint32_t count)
{
	registers device = find(kind);

	if (!device)
		return false;
	set(device, STATUS, 0);
	set(device, STATUS, STATUS_FOUND);
	set(device, STATUS, STATUS_FOUND | STATUS_DRIVER);
	set(device, WORD_OF_DRIVER, 0);
	set(device, FEATURES_OF_DRIVER, 0);
	set(device, WORD_OF_DRIVER, FEATURE_VERSION_1_WORD);
	set(device, FEATURES_OF_DRIVER, FEATURE_VERSION_1_BIT);
	set(device, STATUS, STATUS_FOUND | STATUS_DRIVER | STATUS_FEATURES);
	for (uint32_t i = 0; i < count; i++) {
		queues[i].number = i;
		queues[i].device = device;
		queues[i].offered.flags = NO_INTERRUPT;
		set(device, QUEUE, i);
		set(device, QUEUE_LENGTH, QUEUE_SIZE);
		set_address(device, QUEUE_DESCRIPTORS, queues[i].descriptors);
		set_address(device, QUEUE_OFFERED, &queues[i].offered);
		set_address(device, QUEUE_RETURNED, &queues[i].returned);
		set(device, QUEUE_READY, 1);
	}
	set(device, STATUS, STATUS_FOUND | STATUS_DRIVER | STATUS_FEATURES | STATUS_WORKS);
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
	set(queue->device, NOTIFY, queue->number);
}

bool virtio_take(struct queue *queue, uint16_t *first)
{
	if (queue->returned.index == queue->taken)
		return false;
	BARRIER();
	*first = (uint16_t)queue->returned.ring[queue->taken++ % QUEUE_SIZE].id;
	return true;
}
