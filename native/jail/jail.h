/* A jail: how a program is confined before it begins. The options fill it; each layer uses it once. */
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
	PLACE_WRITE, /* a file or directory, to read and to write; no directories or links can be made in it */
	PLACE_TREE, /* a directory, to make files, directories and links in */
	PLACE_SOCKETS, /* a directory, to read, to write, and to make sockets in */
	PLACE_DEVICE, /* a device, to use */
	PLACE_SCRATCH, /* an empty directory in memory, to make anything in, devices and programs too; gone with its namespace */
	PLACE_LINK /* a symbolic link, made again inside; its target needs a place of its own */
};

struct place {
	enum place_kind kind;
	const char *path;   /* inside */
	const char *source; /* outside; the same, unless said otherwise */
	char *link; /* target of a PLACE_LINK */
	int tree;   /* descriptor of the place's mount, until the mount is in the new root */
};

struct bound {
	int resource; /* number of the resource for setrlimit */
	unsigned long long soft, hard;
};

struct jail {
	const char *groups[JAIL_MAX_GROUPS]; /* files of control groups; a process enters by writing `0` */
	size_t group_count;
	struct bound bounds[JAIL_MAX_BOUNDS];
	size_t bound_count;
	struct place places[JAIL_MAX_PLACES];
	size_t place_count;
	const char *directory; /* working directory of the program, by its path inside; NULL: unchanged */
	int namespaces; /* CLONE_NEW... flags */
	unsigned user; /* user and group that the program runs as, 0: unchanged */
	unsigned also_group; /* one more group, 0 for none */
	unsigned long long capabilities; /* that the program keeps, bit by bit */
	bool landlock;
	bool landlock_network; /* no TCP either */
	bool seccomp;
	bool seccomp_network; /* no sockets either */
	int tap; /* descriptor of the tap that the program gets when it asks for one by name, -1 for none */
	int report; /* descriptor that the process id is written to, -1 for none */
	char **argv;
};

#endif
