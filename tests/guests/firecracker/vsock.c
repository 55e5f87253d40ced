#include "vsock.h"

#include "guest.h"
#include "virtio.h"

enum { DEVICE = 19, RX = 0, TX = 1, EVENTS = 2, QUEUES = 3 };
enum { PORT = 1024, HOST = 2 };
enum { BUFFERS = QUEUE_SIZE / 2, BUFFER_BYTES = 4096, WINDOW = BUFFERS * BUFFER_BYTES };
enum op { REQUEST = 1, RESPONSE = 2, RESET = 3, SHUTDOWN = 4, DATA = 5, CREDIT = 6, CREDIT_REQUEST = 7 };
enum { STREAM = 1, EVENT_BYTES = 4 };

struct header {
	uint64_t source;
	uint64_t target;
	uint32_t source_port;
	uint32_t target_port;
	uint32_t length;
	uint16_t type;
	uint16_t op;
	uint32_t flags;
	uint32_t window;
	uint32_t consumed;
} __attribute__((packed));

static struct queue queues[QUEUES] __attribute__((aligned(4096)));
static struct header received[BUFFERS];
static uint8_t buffers[BUFFERS][BUFFER_BYTES] __attribute__((aligned(8)));
static uint32_t event;
static struct header sent;
static uint8_t sent_bytes[BUFFER_BYTES];
/* The last packet of the host's that belongs to the connection, for its addresses. */
static struct header peer;
static bool connected;
static uint32_t consumed, told;

bool vsock_begin(void)
{
	if (!virtio_begin(DEVICE, queues, QUEUES))
		return false;
	for (uint16_t i = 0; i < BUFFERS; i++) {
		virtio_describe(&queues[RX], (uint16_t)(2 * i), &received[i], sizeof received[i],
				DESCRIPTOR_NEXT | DESCRIPTOR_DEVICE_WRITES);
		virtio_describe(&queues[RX], (uint16_t)(2 * i + 1), buffers[i], BUFFER_BYTES,
				DESCRIPTOR_DEVICE_WRITES);
		virtio_offer(&queues[RX], (uint16_t)(2 * i));
	}
	virtio_describe(&queues[EVENTS], 0, &event, EVENT_BYTES, DESCRIPTOR_DEVICE_WRITES);
	virtio_offer(&queues[EVENTS], 0);
	return true;
}

/* An answer to a packet of the host's. */
static void answer(const struct header *to, enum op op, const uint8_t *bytes, uint32_t size)
{
	uint16_t first;

	sent = (struct header){
		.source = to->target,
		.target = HOST,
		.source_port = to->target_port,
		.target_port = to->source_port,
		.length = size,
		.type = STREAM,
		.op = (uint16_t)op,
		.window = WINDOW,
		.consumed = consumed,
	};
	told = consumed;
	memcpy(sent_bytes, bytes, size);
	virtio_describe(&queues[TX], 0, &sent, sizeof sent, size ? DESCRIPTOR_NEXT : 0);
	virtio_describe(&queues[TX], 1, sent_bytes, size, 0);
	virtio_offer(&queues[TX], 0);
	while (!virtio_take(&queues[TX], &first))
		__asm__ volatile("pause");
}

void vsock_send(const uint8_t *bytes, size_t size)
{
	while (connected && size) {
		uint32_t part = size < BUFFER_BYTES ? (uint32_t)size : BUFFER_BYTES;
		answer(&peer, DATA, bytes, part);
		bytes += part;
		size -= part;
	}
}

static bool is_of_connection(const struct header *header)
{
	return connected && header->source_port == peer.source_port && header->target_port == peer.target_port;
}

static void connect(const struct header *header)
{
	if (header->target_port != PORT) {
		answer(header, RESET, NULL, 0);
		return;
	}
	if (connected)
		answer(&peer, RESET, NULL, 0);
	peer = *header;
	connected = true;
	consumed = told = 0;
	answer(&peer, RESPONSE, NULL, 0);
	guest_connected();
}

static void handle(const struct header *header, const uint8_t *bytes)
{
	if (header->op == REQUEST) {
		connect(header);
	} else if (!is_of_connection(header)) {
		if (header->op != RESET)
			answer(header, RESET, NULL, 0);
	} else if (header->op == DATA) {
		consumed += header->length;
		guest_received(bytes, header->length);
		if (consumed - told >= WINDOW / 2)
			answer(&peer, CREDIT, NULL, 0);
	} else if (header->op == CREDIT_REQUEST) {
		answer(&peer, CREDIT, NULL, 0);
	} else if (header->op == SHUTDOWN || header->op == RESET) {
		if (header->op == SHUTDOWN)
			answer(&peer, RESET, NULL, 0);
		connected = false;
	}
}

void vsock_poll(void)
{
	uint16_t first;

	/* The only event there is: the host has forgotten all connections, as after a restore. */
	if (virtio_take(&queues[EVENTS], &first)) {
		connected = false;
		virtio_offer(&queues[EVENTS], 0);
	}
	if (virtio_take(&queues[RX], &first)) {
		handle(&received[first / 2], buffers[first / 2]);
		virtio_offer(&queues[RX], first);
	}
}
