#include "keeper_bell.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/icmp6.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	INSTRUCTIONS_MOST = 64,
	FRAME_TYPE = 12,
	SOURCE_4 = 26,
	NEXT_HEADER_6 = 20,
	SOURCE_6 = 22,
	ICMP_TYPE_6 = 54,
	GROUP_BIT = 1,
	LEAST_BUFFER = 1,
};

/* Where a jump goes. */
enum label { NEXT, RING, SILENT, NOT_ARP, NOT_IPV4, TO_ONE, LABELS };

/* A program of the classic filter; jumps are resolved when it is whole. */
struct program {
	struct sock_filter at[INSTRUCTIONS_MOST];
	enum label then[INSTRUCTIONS_MOST], otherwise[INSTRUCTIONS_MOST];
	unsigned short count;
	unsigned short places[LABELS];
};

static void put(struct program *program, uint16_t code, uint32_t value)
{
	program->at[program->count++] = (struct sock_filter){.code = code, .k = value};
}

static void load(struct program *program, uint16_t size, uint32_t offset)
{
	put(program, (uint16_t)(BPF_LD | BPF_ABS | size), offset);
}

static void jump_if(struct program *program, uint16_t test, uint32_t value, enum label then, enum label otherwise)
{
	program->then[program->count] = then;
	program->otherwise[program->count] = otherwise;
	put(program, (uint16_t)(BPF_JMP | BPF_K | test), value);
}

static void place(struct program *program, enum label label)
{
	program->places[label] = program->count;
}

static unsigned char distance(const struct program *program, unsigned short from, enum label label)
{
	return label == NEXT ? 0 : (unsigned char)(program->places[label] - from - 1);
}

static void finish(struct program *program)
{
	place(program, RING);
	put(program, BPF_RET | BPF_K, 1);
	place(program, SILENT);
	put(program, BPF_RET | BPF_K, 0);
	for (unsigned short i = 0; i < program->count; i++) {
		if (BPF_CLASS(program->at[i].code) != BPF_JMP)
			continue;
		program->at[i].jt = distance(program, i, program->then[i]);
		program->at[i].jf = distance(program, i, program->otherwise[i]);
	}
}

static uint32_t word_at(const unsigned char *bytes, size_t word)
{
	uint32_t value;

	memcpy(&value, bytes + 4 * word, sizeof value);
	return ntohl(value);
}

static uint32_t mask_of(unsigned length, size_t word)
{
	unsigned before = (unsigned)(32 * word);

	if (length <= before)
		return 0;
	return length - before >= 32 ? UINT32_MAX : UINT32_MAX << (32 - (length - before));
}

/* Silent unless the source is within the prefix; then rings unless it is the gateway. */
static void judge_source(struct program *program, uint32_t offset, const struct prefix *prefix, const struct address *gateway)
{
	size_t words = address_size(gateway) / 4;

	for (size_t i = 0; i < words; i++) {
		uint32_t mask = mask_of(prefix->length, i);
		if (mask == 0)
			continue;
		load(program, BPF_W, offset + (uint32_t)(4 * i));
		put(program, BPF_ALU | BPF_AND | BPF_K, mask);
		jump_if(program, BPF_JEQ, word_at(prefix->address.bytes, i) & mask, NEXT, SILENT);
	}
	for (size_t i = 0; i < words; i++) {
		load(program, BPF_W, offset + (uint32_t)(4 * i));
		jump_if(program, BPF_JEQ, word_at(gateway->bytes, i), i + 1 == words ? SILENT : NEXT, RING);
	}
}

static void write_program(struct program *program, const struct guests *guests)
{
	load(program, BPF_W, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE));
	jump_if(program, BPF_JEQ, PACKET_OUTGOING, NEXT, SILENT);
	load(program, BPF_H, FRAME_TYPE);
	jump_if(program, BPF_JEQ, ETH_P_ARP, NEXT, NOT_ARP);
	load(program, BPF_B, 0);
	/* To all: a packet waits until the guest is found. To one: only a look whether it is still there. */
	jump_if(program, BPF_JSET, GROUP_BIT, RING, SILENT);
	place(program, NOT_ARP);
	jump_if(program, BPF_JEQ, ETH_P_IP, NEXT, NOT_IPV4);
	judge_source(program, SOURCE_4, &guests->v4, &guests->gateway4);
	place(program, NOT_IPV4);
	jump_if(program, BPF_JEQ, ETH_P_IPV6, NEXT, SILENT);
	load(program, BPF_B, 0);
	jump_if(program, BPF_JSET, GROUP_BIT, NEXT, TO_ONE);
	load(program, BPF_B, NEXT_HEADER_6);
	jump_if(program, BPF_JEQ, IPPROTO_ICMPV6, NEXT, SILENT);
	load(program, BPF_B, ICMP_TYPE_6);
	jump_if(program, BPF_JEQ, ND_NEIGHBOR_SOLICIT, RING, SILENT);
	place(program, TO_ONE);
	judge_source(program, SOURCE_6, &guests->v6, &guests->gateway6);
	finish(program);
}

static bool attach(int fd, const struct guests *guests)
{
	struct program program = {.count = 0};
	int on = 1, least = LEAST_BUFFER;

	write_program(&program, guests);
	struct sock_fprog given = {.len = program.count, .filter = program.at};
	/* Who has the socket learns that somebody sends, and cannot ask for more. */
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &given, sizeof given) == 0 &&
	       setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) == 0 &&
	       setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof least) == 0;
}

int bell_hang(unsigned interface, const struct guests *guests)
{
	/* No protocol yet: nothing arrives before the filter is there. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_ll name = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)interface};

	if (fd < 0)
		return -1;
	if (attach(fd, guests) && bind(fd, (struct sockaddr *)&name, sizeof name) == 0)
		return fd;
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}
