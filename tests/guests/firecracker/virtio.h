/* A virtio device on the MMIO bus (version 2 of its registers), and a queue of it. Polled: nothing interrupts. */
#ifndef VIRTIO_H
#define VIRTIO_H

#include "machine.h"

enum { QUEUE_SIZE = 16, DESCRIPTOR_NEXT = 1, DESCRIPTOR_DEVICE_WRITES = 2 };

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};

struct offered {
	uint16_t flags;
	uint16_t index;
	uint16_t ring[QUEUE_SIZE];
};

struct returned {
	uint16_t flags;
	volatile uint16_t index;
	struct {
		uint32_t id;
		uint32_t length;
	} ring[QUEUE_SIZE];
};

struct queue {
	struct descriptor descriptors[QUEUE_SIZE] __attribute__((aligned(16)));
	struct offered offered __attribute__((aligned(4)));
	struct returned returned __attribute__((aligned(4)));
	uint16_t taken;
	uint32_t number;
	volatile uint8_t *device;
};

/* Takes over the device of this kind with `count` queues; false if the machine has none. */
bool virtio_begin(uint32_t kind, struct queue *queues, uint32_t count);

void virtio_describe(struct queue *queue, uint16_t at, void *buffer, uint32_t length, uint16_t flags);

/* Offer the chain that begins with this descriptor to the device. */
void virtio_offer(struct queue *queue, uint16_t first);

/* The first descriptor of a chain that the device has returned; false if there is none. */
bool virtio_take(struct queue *queue, uint16_t *first);

#endif
