#include "tar_made.h"

#include <stdlib.h>
#include <sys/stat.h>

enum { FIRST_ROOM = 64 };

/* A table by inode; at most half of it is taken, and its room is a power of two. */
static struct tar_made *table;
static size_t room, count;

static struct tar_made *slot_of(dev_t device, ino_t inode)
{
	size_t at = (size_t)inode;

	for (;; at++) {
		struct tar_made *slot = &table[at & (room - 1)];

		if (!slot->taken || (slot->inode == inode && slot->device == device))
			return slot;
	}
}

static bool grow(void)
{
	struct tar_made *old = table;
	size_t old_room = room, wanted = room ? 2 * room : FIRST_ROOM;
	struct tar_made *grown = calloc(wanted, sizeof *grown);

	if (!grown)
		return false;
	table = grown;
	room = wanted;
	for (size_t i = 0; i < old_room; i++)
		if (old[i].taken)
			*slot_of(old[i].device, old[i].inode) = old[i];
	free(old);
	return true;
}

struct tar_made *tar_made_add(int fd)
{
	struct tar_made *slot;
	struct stat stat;

	if (fstat(fd, &stat) < 0 || (2 * count >= room && !grow()))
		return NULL;
	slot = slot_of(stat.st_dev, stat.st_ino);
	count += !slot->taken;
	*slot = (struct tar_made){ .device = stat.st_dev, .inode = stat.st_ino, .taken = true };
	return slot;
}

struct tar_made *tar_made_find(int fd)
{
	struct tar_made *slot;
	struct stat stat;

	if (!room || fstat(fd, &stat) < 0)
		return NULL;
	slot = slot_of(stat.st_dev, stat.st_ino);
	return slot->taken ? slot : NULL;
}

void tar_made_clear(void)
{
	free(table);
	table = NULL;
	room = count = 0;
}
