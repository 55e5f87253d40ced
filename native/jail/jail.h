/* A jail: what a program is confined by before it begins. Filled by the options, used by each layer once. */
#ifndef BANGER_JAIL_H
#define BANGER_JAIL_H

#include <stdbool.h>
#include <stddef.h>

#define JAIL_MAX_PLACES 192
#define JAIL_MAX_GROUPS 16
#define JAIL_MAX_BOUNDS 16

/* What a program may do below a path. */
enum place_kind {
	PLACE_READ,  /* a file or directory, to read and to execute */
	PLACE_WRITE, /* a file or directory, to read and to write */
	PLACE_DEVICE, /* a device, to use */
	PLACE_LINK /* a symbolic link: the same link inside; what it leads to is a place of its own */
};

struct place {
	enum place_kind kind;
	const char *path;
	char *link; /* what it names, of a PLACE_LINK */
	int tree;   /* its mount, until it is in the new root */
};

struct bound {
	int resource; /* of setrlimit */
	unsigned long long soft, hard;
};

struct jail {
	const char *groups[JAIL_MAX_GROUPS]; /* files that a process writes `0` to, to enter a control group */
	size_t group_count;
	struct bound bounds[JAIL_MAX_BOUNDS];
	size_t bound_count;
	struct place places[JAIL_MAX_PLACES];
	size_t place_count;
	const char *directory; /* that the program begins in, as it is named inside; NULL: where we are */
	int namespaces; /* CLONE_NEW... */
	unsigned user; /* user and group that the program runs as, 0 for those that we are */
	unsigned also_group; /* one more group, 0 for none */
	bool landlock;
	bool landlock_network; /* no TCP, either */
	int report; /* descriptor that the process id is written to, -1 for none */
	char **argv;
};

#endif
