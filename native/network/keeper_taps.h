/* The taps: each is held by one KEY at most, has the addresses of its guest, and is in networks. What is known of a tap is
 * also in the kernel (the interface's alias, routes, rules), from where a new keeper learns it again. */
#ifndef BANGER_KEEPER_TAPS_H
#define BANGER_KEEPER_TAPS_H

#include "keeper_address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TAPS_MOST = 1024, KEY_MOST = 64, NETWORKS_MOST = 32, TAP_NAME = 16 };

struct tap {
	unsigned interface; /* its number for the kernel, 0: the interface does not exist */
	int descriptor;     /* -1: not open here */
	char key[KEY_MOST + 1]; /* empty: nobody holds it */
	struct address v4, v6;
	uint16_t networks[NETWORKS_MOST];
	size_t network_count;
};

enum outcome {
	DONE,
	UNKNOWN_KEY,
	ADDRESS_TAKEN,   /* another tap has it */
	ADDRESS_OUTSIDE, /* no guest may have it */
	HELD,            /* the tap is open in a process that had it from an earlier keeper */
	TOO_MANY,
	FAILED, /* errno says why */
};

/* `tun`: path of the device; both arguments stay with this module. */
void taps_open(const char *tun, const struct guests *guests);

/* Learns the taps of an earlier keeper in this namespace. False with errno. */
bool taps_adopt(void);

/* Makes one tap in advance, which shows whether the host allows taps. False with errno. */
bool taps_prepare(void);

/* The tap of the key, a new one if it has none. */
enum outcome taps_take(const char *key, const struct tap **tap);
enum outcome taps_free(const char *key);

/* An address without family: none. */
enum outcome taps_bind(const char *key, const struct address *v4, const struct address *v6);
enum outcome taps_join(const char *key, unsigned network);
enum outcome taps_leave(const char *key, unsigned network);

/* The tap of the key; NULL: there is none. */
const struct tap *taps_find(const char *key);

/* The first tap at or after `*place` that is held; then `*place` is the number in its name. NULL: no more. */
const struct tap *taps_next(size_t *place);

/* "vm7" for place 7. */
void tap_name(const struct tap *tap, char name[TAP_NAME]);

#endif
