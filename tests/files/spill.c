/* spill DIRECTORY MIB: fills a file system with fewer free bytes than that, in each way that there is, and prints what each
 * answers. What was synced before stays as it is. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PIECE = 64 * 1024 };

static uint8_t piece[PIECE], read_back[PIECE];
static size_t size;

static void say(const char *what, long result)
{
	printf("%s: %s\n", what, result >= 0 ? "ok" : errno == ENOSPC ? "ENOSPC" : errno == EDQUOT ? "EDQUOT" : strerror(errno));
}

static int opened(const char *name)
{
	int file = open(name, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);

	if (file < 0) {
		say(name, -1);
		exit(1);
	}
	return file;
}

static long write_all(int file)
{
	for (size_t done = 0; done < size; done += PIECE)
		if (write(file, piece, PIECE) < 0)
			return -1;
	return 0;
}

/* The bytes reach the file system when they are synced, which then has no place for them. */
static void by_mapping(void)
{
	int file = opened("mapped");

	uint8_t *map = ftruncate(file, (off_t)size) ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	if (map == MAP_FAILED) {
		say("mmap", -1);
		return;
	}
	memset(map, 7, size);
	say("msync", msync(map, size, MS_SYNC));
	munmap(map, size);
	close(file);
	unlink("mapped");
}

int main(int argc, char **argv)
{
	if (argc != 3 || chdir(argv[1]) != 0)
		return fputs("usage: spill DIRECTORY MIB\n", stderr), 2;
	size = (size_t)atoi(argv[2]) << 20;
	memset(piece, 'p', sizeof piece);
	int kept = opened("kept");
	say("write", write(kept, piece, PIECE));
	say("fsync", fsync(kept));
	int file = opened("written");
	say("write too much", write_all(file));
	say("and more", write(file, piece, PIECE));
	say("fallocate", fallocate(file, 0, 0, (off_t)size));
	say("read what was synced", pread(kept, read_back, PIECE, 0));
	printf("it is the same: %d\n", memcmp(piece, read_back, PIECE) == 0);
	say("truncate", ftruncate(file, 0));
	say("write once more", write(file, piece, PIECE));
	say("fsync", fsync(file));
	unlink("written");
	by_mapping();
	file = opened("again");
	say("write after all", write(file, piece, PIECE));
	say("fsync", fsync(file));
	return 0;
}
