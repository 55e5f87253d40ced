#include "disk.h"

#include "virtio.h"

enum { DEVICE = 2, READ = 0, SECTOR_BYTES = 512 };

static struct {
	uint32_t kind;
	uint32_t reserved;
	uint64_t sector;
} request;

static struct queue queue;
static uint8_t contents[SECTOR_BYTES];
static volatile uint8_t status;
static bool has_begun;

uint8_t disk_read(uint64_t sector)
{
	uint16_t first;

	if (!has_begun && !virtio_begin(DEVICE, &queue, 1))
		return DISK_NONE;
	has_begun = true;
	request.kind = READ;
	request.sector = sector;
	status = DISK_NONE;
	virtio_describe(&queue, 0, &request, sizeof request, DESCRIPTOR_NEXT);
	virtio_describe(&queue, 1, contents, sizeof contents, DESCRIPTOR_NEXT | DESCRIPTOR_DEVICE_WRITES);
	virtio_describe(&queue, 2, (void *)&status, sizeof status, DESCRIPTOR_DEVICE_WRITES);
	virtio_offer(&queue, 0);
	while (!virtio_take(&queue, &first))
		;
	return status;
}
