#include "sftp_attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HAS_EXTENDED 0x80000000u

enum { LINE_MAX_BYTES = 512, HALF_A_YEAR_S = 182 * 24 * 3600 };

struct sftp_attributes sftp_take_attributes(struct sftp_in *in)
{
	struct sftp_attributes taken = { .flags = sftp_take_u32(in) };

	if (taken.flags & SFTP_HAS_SIZE)
		taken.size = sftp_take_u64(in);
	if (taken.flags & SFTP_HAS_OWNER) {
		taken.uid = sftp_take_u32(in);
		taken.gid = sftp_take_u32(in);
	}
	if (taken.flags & SFTP_HAS_MODE)
		taken.mode = sftp_take_u32(in) & 07777;
	if (taken.flags & SFTP_HAS_TIMES) {
		taken.atime = sftp_take_u32(in);
		taken.mtime = sftp_take_u32(in);
	}
	if (taken.flags & HAS_EXTENDED)
		for (uint32_t left = sftp_take_u32(in); left && !in->bad; left--) {
			sftp_take_string(in);
			sftp_take_string(in);
		}
	return taken;
}

static uint32_t seconds(time_t time)
{
	return time < 0 ? 0 : time > UINT32_MAX ? UINT32_MAX : (uint32_t)time;
}

void sftp_put_attributes(struct sftp_out *out, const struct stat *stat)
{
	sftp_put_u32(out, SFTP_HAS_SIZE | SFTP_HAS_OWNER | SFTP_HAS_MODE | SFTP_HAS_TIMES);
	sftp_put_u64(out, (uint64_t)stat->st_size);
	sftp_put_u32(out, stat->st_uid);
	sftp_put_u32(out, stat->st_gid);
	sftp_put_u32(out, stat->st_mode);
	sftp_put_u32(out, seconds(stat->st_atime));
	sftp_put_u32(out, seconds(stat->st_mtime));
}

static void times_of(const struct sftp_attributes *wanted, struct timespec times[2])
{
	times[0] = (struct timespec){ .tv_sec = wanted->atime };
	times[1] = (struct timespec){ .tv_sec = wanted->mtime };
}

static void note(int done, int *number)
{
	if (done < 0 && !*number)
		*number = errno;
}

static int outcome(int number)
{
	errno = number;
	return number ? -1 : 0;
}

/* The owner first: a change of it takes setuid and setgid from the mode. */
int sftp_apply_to_fd(int fd, const struct sftp_attributes *wanted)
{
	struct timespec times[2];
	int number = 0;

	times_of(wanted, times);
	if (wanted->flags & SFTP_HAS_SIZE)
		note(ftruncate(fd, (off_t)wanted->size), &number);
	if (wanted->flags & SFTP_HAS_OWNER)
		note(fchown(fd, wanted->uid, wanted->gid), &number);
	if (wanted->flags & SFTP_HAS_MODE)
		note(fchmod(fd, wanted->mode), &number);
	if (wanted->flags & SFTP_HAS_TIMES)
		note(futimens(fd, times), &number);
	return outcome(number);
}

int sftp_apply_to_path(const char *path, const struct sftp_attributes *wanted, bool link)
{
	int at = link ? AT_SYMLINK_NOFOLLOW : 0, number = 0;
	struct timespec times[2];

	times_of(wanted, times);
	if (wanted->flags & SFTP_HAS_SIZE)
		note(link ? (errno = EINVAL, -1) : truncate(path, (off_t)wanted->size), &number);
	if (wanted->flags & SFTP_HAS_OWNER)
		note(fchownat(AT_FDCWD, path, wanted->uid, wanted->gid, at), &number);
	if (wanted->flags & SFTP_HAS_MODE)
		note(fchmodat(AT_FDCWD, path, wanted->mode, at), &number);
	if (wanted->flags & SFTP_HAS_TIMES)
		note(utimensat(AT_FDCWD, path, times, at), &number);
	return outcome(number);
}

static char type_letter(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR: return 'd';
	case S_IFLNK: return 'l';
	case S_IFCHR: return 'c';
	case S_IFBLK: return 'b';
	case S_IFIFO: return 'p';
	case S_IFSOCK: return 's';
	default: return '-';
	}
}

static void mode_letters(mode_t mode, char letters[11])
{
	static const char all[] = "rwxrwxrwx";

	letters[0] = type_letter(mode);
	for (int i = 0; i < 9; i++)
		letters[i + 1] = mode & (0400u >> i) ? all[i] : '-';
	if (mode & S_ISUID)
		letters[3] = mode & 0100 ? 's' : 'S';
	if (mode & S_ISGID)
		letters[6] = mode & 0010 ? 's' : 'S';
	if (mode & S_ISVTX)
		letters[9] = mode & 0001 ? 't' : 'T';
	letters[10] = 0;
}

void sftp_put_long_name(struct sftp_out *out, const char *name, const struct stat *stat)
{
	char letters[11], when[32] = "", line[LINE_MAX_BYTES];
	time_t now = time(NULL);
	struct tm broken;
	int length;

	mode_letters(stat->st_mode, letters);
	if (gmtime_r(&stat->st_mtime, &broken))
		strftime(when, sizeof when,
			 stat->st_mtime > now || stat->st_mtime < now - HALF_A_YEAR_S ? "%b %e  %Y" : "%b %e %H:%M",
			 &broken);
	length = snprintf(line, sizeof line, "%s %4lu %-8u %-8u %8llu %s %s", letters,
			  (unsigned long)stat->st_nlink, stat->st_uid, stat->st_gid,
			  (unsigned long long)stat->st_size, when, name);
	sftp_put_string(out, line, length < 0 ? 0 : (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
}
