#include "identity.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include <linux/random.h>

#include "agent.h"
#include "canary.h"
#include "console.h"
#include "fd.h"
#include "files.h"
#include "journal.h"
#include "values.h"

enum { HOSTS_FILE_MAX = 1 << 18, OWN_MAX = 256 };

/* Ends each line of /etc/hosts that is the agent's own. */
#define OWN_LINE "# banger"

static int set_clock(const struct fields *fields, struct err *err)
{
	int64_t clock_ns = fields_int(fields, TAG_CLOCK_NS, 0);
	struct timespec time = { .tv_sec = clock_ns / 1000000000, .tv_nsec = clock_ns % 1000000000 };

	if (!clock_ns)
		return 0;
	if (clock_settime(CLOCK_REALTIME, &time) < 0)
		return err_set(err, ERR_IO, errno, "cannot set the clock");
	return 0;
}

static int add_entropy(const struct fields *fields, struct err *err)
{
	union {
		struct rand_pool_info head;
		uint8_t room[sizeof(struct rand_pool_info) + ENTROPY_MAX];
	} pool = { 0 };
	static int fd = -1; /* kept: a clone does not have to open it */
	struct span entropy;

	if (!fields_span(fields, TAG_ENTROPY, &entropy))
		return 0;
	pool.head.entropy_count = (int)entropy.length * 8;
	pool.head.buf_size = (int)entropy.length;
	memcpy(pool.head.buf, entropy.data, entropy.length);
	if (fd < 0)
		fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	/* Reseeding makes it count at once: two clones must never draw the same number. */
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		return err_set(err, ERR_IO, errno, "cannot seed the random number generator");
	canary_want_new();
	return 0;
}

void identity_put_clock(struct field_writer *fields)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	put_int(fields, TAG_CLOCK_NS, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
}

int identity_refresh(const struct fields *fields, struct err *err)
{
	return set_clock(fields, err) < 0 ? -1 : add_entropy(fields, err);
}

int identity_set_hostname(const struct fields *fields, struct err *err)
{
	struct span name;

	if (!fields_span(fields, TAG_HOSTNAME, &name) || !name.length)
		return 0;
	if (sethostname(name.data, name.length) < 0)
		return err_set(err, ERR_IO, errno, "cannot set the host name");
	return 0;
}

static void write_etc(const char *path, const char *text, size_t length, mode_t mode)
{
	int result = file_replace(path, text, length, mode);

	/* An image may be without /etc. */
	if (result < 0 && errno == ENOENT && mkdir("/etc", 0755) == 0)
		result = file_replace(path, text, length, mode);
	if (result < 0)
		console("cannot write %s: %s", path, strerror(errno));
}

static void write_machine_id(const struct fields *fields)
{
	static char last[MACHINE_ID_LENGTH + 2];
	char id[MACHINE_ID_LENGTH + 2];

	if (!fields_text(fields, TAG_MACHINE_ID, id, MACHINE_ID_LENGTH + 1))
		return;
	strcat(id, "\n");
	write_etc("/etc/machine-id", id, strlen(id), 0444);
	if (!agent.is_init && strcmp(id, last) != 0)
		journal_begin_anew();
	memcpy(last, id, sizeof last);
}

static void write_resolv_conf(const struct fields *fields)
{
	struct fields rest = *fields;
	struct field field;
	char text[1024] = "";
	size_t used = 0;

	while (fields_next(&rest, &field))
		if (field.tag == TAG_DNS && field.value.length < 64 && used < sizeof text - 80)
			used += (size_t)snprintf(text + used, sizeof text - used, "nameserver %.*s\n",
						 (int)field.value.length, field.value.data);
	/* A link, say to systemd-resolved's stub, gives way to a file that works without it. */
	if (used)
		write_etc("/etc/resolv.conf", text, used, 0644);
}

static bool own_line(const char *line, size_t length)
{
	size_t mark = sizeof OWN_LINE - 1;

	return length >= mark && memcmp(line + length - mark, OWN_LINE, mark) == 0;
}

/* Appends all lines of old that are not the agent's. Tells whether one names localhost. */
static bool keep_lines(const char *old, char *text, size_t *used)
{
	bool localhost = false;

	while (*old) {
		size_t length = strcspn(old, "\n");

		if (!own_line(old, length)) {
			memcpy(text + *used, old, length);
			text[*used + length] = 0;
			localhost |= strstr(text + *used, "localhost") != NULL;
			*used += length;
			text[(*used)++] = '\n';
		}
		old += length + (old[length] == '\n');
	}
	return localhost;
}

/* The first address that was given, also by an earlier CONFIGURE. */
static const char *own_address(const struct fields *fields)
{
	static char address[64] = "127.0.1.1";

	if (fields_count(fields, TAG_ADDRESS)) {
		fields_text(fields, TAG_ADDRESS, address, sizeof address);
		address[strcspn(address, "/")] = 0;
	}
	return address;
}

static void write_hosts(const struct fields *fields, const char *hostname)
{
	/* Not from the heap: a clone would pay for growing it. */
	static char old[HOSTS_FILE_MAX], text[HOSTS_FILE_MAX + 2 * OWN_MAX];
	size_t used = 0;

	if (file_read_plain("/etc/hosts", old, sizeof old) < 0 && errno != ENOENT)
		return; /* something else than a small file is there: not ours to replace */
	if (!keep_lines(old, text, &used))
		used += (size_t)snprintf(text + used, OWN_MAX,
					 "127.0.0.1\tlocalhost " OWN_LINE "\n"
					 "::1\tlocalhost ip6-localhost ip6-loopback " OWN_LINE "\n");
	used += (size_t)snprintf(text + used, OWN_MAX, "%s\t%s " OWN_LINE "\n",
				 own_address(fields), hostname);
	write_etc("/etc/hosts", text, used, 0644);
}

void identity_warm_up(void)
{
	static const char *const paths[] = { "/etc/machine-id", "/etc/resolv.conf", "/etc/hosts",
					     "/etc/hostname" };
	char text[512];

	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
		file_read(paths[i], text, sizeof text);
}

void identity_write_files(const struct fields *fields)
{
	char hostname[HOSTNAME_SIZE + 1];

	write_machine_id(fields);
	write_resolv_conf(fields);
	if (!fields_text(fields, TAG_HOSTNAME, hostname, HOSTNAME_SIZE) || !hostname[0])
		return;
	write_hosts(fields, hostname);
	strcat(hostname, "\n");
	write_etc("/etc/hostname", hostname, strlen(hostname), 0644);
}
