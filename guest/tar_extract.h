/* Puts the entries of an archive into a tree, and never outside of it. */
#ifndef BANGER_TAR_EXTRACT_H
#define BANGER_TAR_EXTRACT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "tar_sparse.h"
#include "tar_xattr.h"

/* One entry, of the header and of the pax and GNU extensions before it. */
struct tar_entry {
	char *name, *link;
	char type; /* '0' to '6', or one that nobody knows */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	int64_t size; /* of the data that follow */
	struct timespec mtime;
	dev_t device;
	const struct tar_xattr *xattrs;
	const struct tar_sparse *sparse; /* NULL: it has no holes that the archive knows of */
};

/* What all entries share. */
struct tar_target {
	int root;        /* the directory below which everything stays */
	bool keep_owner; /* give files to the archive's owners */
	bool failed;     /* something was complained about */
	bool ended;      /* more was asked of the archive than it has */
};

extern struct tar_target tar_target;

/* False if the archive is at its end before the entry is. */
bool tar_extract(const struct tar_entry *entry);
/* To be called after the last entry. */
void tar_finish_directories(void);

/* The archive as a stream: reads exactly length bytes, or fewer at its end. */
size_t tar_take(void *bytes, size_t length);
/* Skips contents and their padding. False if the archive ends too early. */
bool tar_skip(int64_t size);
void tar_complain(const char *name, const char *what);

#endif
