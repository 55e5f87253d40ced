#include "relay_stock.h"

#include "relay_keeper.h"

enum { MOST = 16, FEW = 8 };

static struct stock {
	const char *name;
	int sockets[MOST];
	unsigned count;
	bool ordered;
} v4_stock = {.name = "tcp4"}, v6_stock = {.name = "tcp6"};
static void (*on_arrival)(void);

void stock_open(void (*came)(void))
{
	on_arrival = came;
}

static void answered(void *context, struct packet *answer)
{
	struct stock *stock = context;

	stock->ordered = false;
	for (size_t i = 0; answer && i < answer->descriptor_count && stock->count < MOST; i++) {
		int socket = packet_take(answer, i);
		if (socket >= 0)
			stock->sockets[stock->count++] = socket;
	}
	if (answer)
		on_arrival();
}

static void order(struct stock *stock)
{
	if (stock->count > FEW || stock->ordered)
		return;
	stock->ordered = keeper_ask(answered, stock, "sockets %s %u", stock->name, MOST - stock->count);
}

int stock_take(bool v4)
{
	struct stock *stock = v4 ? &v4_stock : &v6_stock;
	int socket = stock->count > 0 ? stock->sockets[--stock->count] : -1;

	order(stock);
	return socket;
}
