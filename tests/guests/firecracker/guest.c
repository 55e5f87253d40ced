#include "guest.h"

#include "disk.h"
#include "frames.h"
#include "generation.h"
#include "vsock.h"

enum { POLLS_BETWEEN_KEYS = 1 << 12, EXECS_MAX = 64, LABEL_MAX = 256, HOSTNAME_MAX = 64, WORDS_MAX = 16, LINE_MAX = 512 };

enum type {
	HELLO = 0x01,
	WELCOME = 0x02,
	OK = 0x03,
	FAIL = 0x04,
	PING = 0x20,
	CONFIGURE = 0x21,
	EXEC = 0x22,
	SIGNAL = 0x23,
	EXECS = 0x25,
	ATTACH = 0x26,
	FORGET = 0x27,
	HEALTH = 0x2a,
	SHUTDOWN = 0x2b,
	REFRESH = 0x2f,
	MORE = 0x30,
	DATA = 0x40,
	END = 0x41,
	CREDIT = 0x42,
	EXIT = 0x43,
};

enum tag {
	TAG_VERSION = 3,
	TAG_NONCE = 4,
	TAG_AGENT = 5,
	TAG_BOOT = 6,
	TAG_STATE = 7,
	TAG_KERNEL = 8,
	TAG_UPTIME_MS = 9,
	TAG_CODE = 16,
	TAG_HOSTNAME = 32,
	TAG_CLOCK_NS = 34,
	TAG_ARGV = 48,
	TAG_PID = 58,
	TAG_EXEC = 59,
	TAG_SIGNAL = 60,
	TAG_EXIT_CODE = 61,
	TAG_EXIT_SIGNAL = 62,
	TAG_OFFSET = 64,
	TAG_RUNNING = 65,
	TAG_LABEL = 66,
	TAG_MODE = 83,
};

enum { STDOUT = 1, STDERR = 2, VERSION = 1, BOOT_BYTES = 16, FIRST_PID = 100 };

struct exec {
	bool used;
	bool runs;
	uint32_t channel;
	uint64_t code;
	uint64_t signal;
	uint8_t label[LABEL_MAX];
	uint32_t label_size;
};

static struct exec execs[EXECS_MAX];
static uint64_t boot[BOOT_BYTES / 8];
static uint64_t clock_ns;
static uint8_t hostname[HOSTNAME_MAX];
static uint32_t hostname_size;
static bool goes_down;

static bool says(const struct field *field, const char *text)
{
	return field->size == length_of(text) && same_bytes(field->bytes, text, field->size);
}

static void send_ok(const struct frame *to)
{
	frame_begin(OK, 0, to->channel);
	frame_end();
}

static void send_fail(const struct frame *to, const char *code)
{
	frame_begin(FAIL, 0, to->channel);
	frame_put_text(TAG_CODE, code);
	frame_end();
}

static struct exec *find_exec(uint64_t channel)
{
	for (size_t i = 0; i < EXECS_MAX; i++)
		if (execs[i].used && execs[i].channel == channel)
			return &execs[i];
	return NULL;
}

static struct exec *free_exec(void)
{
	for (size_t i = 0; i < EXECS_MAX; i++)
		if (!execs[i].used)
			return &execs[i];
	return NULL;
}

static void send_exit(const struct exec *exec)
{
	frame_begin(EXIT, 0, exec->channel);
	frame_put_number(TAG_EXIT_CODE, exec->code);
	frame_put_number(TAG_EXIT_SIGNAL, exec->signal);
	frame_end();
}

/* What it printed, the ends of its outputs, its exit. */
static void end_exec(struct exec *exec, const char *line, size_t size, uint64_t code, uint64_t signal)
{
	const uint64_t begin = 0, end = size;

	exec->runs = false;
	exec->code = code;
	exec->signal = signal;
	if (size) {
		frame_begin(DATA, STDOUT, exec->channel);
		frame_put_raw(&begin, sizeof begin);
		frame_put_raw(line, size);
		frame_end();
	}
	for (uint8_t stream = STDOUT; stream <= STDERR; stream++) {
		frame_begin(END, stream, exec->channel);
		frame_put_raw(stream == STDOUT ? &end : &begin, sizeof end);
		frame_end();
	}
	send_exit(exec);
}

static void say_welcome(const struct frame *hello)
{
	struct field nonce;

	frame_begin(WELCOME, 0, 0);
	if (frame_find(hello, TAG_NONCE, &nonce))
		frame_put(TAG_NONCE, nonce.bytes, nonce.size);
	frame_put_number(TAG_VERSION, VERSION);
	frame_put_text(TAG_AGENT, "freestanding");
	frame_put(TAG_BOOT, boot, sizeof boot);
	frame_put_text(TAG_STATE, "running");
	frame_put_text(TAG_KERNEL, "none");
	frame_put_number(TAG_UPTIME_MS, 1);
	frame_end();
}

static void configure(const struct frame *frame)
{
	struct field name;

	clock_ns = frame_number(frame, TAG_CLOCK_NS);
	if (frame_find(frame, TAG_HOSTNAME, &name) && name.size <= HOSTNAME_MAX) {
		memcpy(hostname, name.bytes, name.size);
		hostname_size = name.size;
	}
	frame_begin(OK, 0, frame->channel);
	frame_put_number(TAG_CLOCK_NS, clock_ns);
	frame_end();
}

static uint64_t decimal_of(const struct field *field)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < field->size; i++)
		value = value * 10 + (uint64_t)(field->bytes[i] - '0');
	return value;
}

static size_t put_line(char *line, size_t at, const uint8_t *bytes, size_t size, char end)
{
	if (size + 1 > LINE_MAX - at)
		return at;
	memcpy(line + at, bytes, size);
	line[at + size] = end;
	return at + size + 1;
}

static bool is_known(const struct field *program)
{
	static const char *const names[] = {"true", "false", "exit", "sleep", "echo", "hostname", "poweroff", "read",
					   "generation"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (says(program, names[i]))
			return true;
	return false;
}

static size_t put_hex(char *line, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < 2 * size; i++)
		line[i] = "0123456789abcdef"[i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4];
	line[2 * size] = '\n';
	return 2 * size + 1;
}

static void carry_out(struct exec *exec, const struct field *words, size_t count)
{
	char line[LINE_MAX];
	size_t size = 0;

	if (says(&words[0], "sleep"))
		return;
	if (says(&words[0], "echo"))
		for (size_t i = 1; i < count; i++)
			size = put_line(line, size, words[i].bytes, words[i].size, i + 1 < count ? ' ' : '\n');
	if (says(&words[0], "hostname"))
		size = put_line(line, size, hostname, hostname_size, '\n');
	if (says(&words[0], "poweroff"))
		goes_down = true;
	uint64_t code = says(&words[0], "exit") && count > 1 ? decimal_of(&words[1]) : says(&words[0], "false");
	if (says(&words[0], "read") && count > 1)
		code = disk_read(decimal_of(&words[1]));
	if (says(&words[0], "generation")) {
		const uint8_t *generation = generation_find();
		size = generation ? put_hex(line, generation, GENERATION_BYTES) : 0;
		code = !generation;
	}
	end_exec(exec, line, size, code, 0);
}

static void begin_exec(const struct frame *frame)
{
	struct field words[WORDS_MAX], field;
	size_t count = 0;
	struct exec *exec = free_exec();

	for (uint32_t at = 0; frame_next(frame, &at, &field);)
		if (field.tag == TAG_ARGV && count < WORDS_MAX)
			words[count++] = field;
	if (find_exec(frame->channel) || !exec) {
		send_fail(frame, "busy");
		return;
	}
	if (!count || !is_known(&words[0])) {
		send_fail(frame, "not_found");
		return;
	}
	*exec = (struct exec){.used = true, .runs = true, .channel = frame->channel};
	if (frame_find(frame, TAG_LABEL, &field) && field.size <= LABEL_MAX) {
		memcpy(exec->label, field.bytes, field.size);
		exec->label_size = field.size;
	}
	frame_begin(OK, 0, frame->channel);
	frame_put_number(TAG_PID, FIRST_PID + frame->channel);
	frame_end();
	carry_out(exec, words, count);
}

static void list_execs(const struct frame *frame)
{
	frame_begin(OK, 0, frame->channel);
	for (const struct exec *exec = execs; exec < execs + EXECS_MAX; exec++) {
		if (!exec->used)
			continue;
		frame_put_number(TAG_EXEC, exec->channel);
		frame_put_number(TAG_PID, FIRST_PID + exec->channel);
		frame_put_number(TAG_RUNNING, exec->runs);
		if (!exec->runs) {
			frame_put_number(TAG_EXIT_CODE, exec->code);
			frame_put_number(TAG_EXIT_SIGNAL, exec->signal);
		}
		for (int stream = 0; stream < 3; stream++)
			frame_put_number(TAG_OFFSET, 0);
		frame_put(TAG_LABEL, exec->label, exec->label_size);
	}
	frame_end();
}

/* Verbs about one exec. */
static void about_exec(const struct frame *frame)
{
	struct exec *exec = find_exec(frame_number(frame, TAG_EXEC));

	if (!exec || (frame->type == SIGNAL && !exec->runs)) {
		send_fail(frame, "no_such_exec");
		return;
	}
	if (frame->type == FORGET && exec->runs) {
		send_fail(frame, "busy");
		return;
	}
	send_ok(frame);
	if (frame->type == SIGNAL)
		end_exec(exec, NULL, 0, 0, frame_number(frame, TAG_SIGNAL));
	else if (frame->type == FORGET)
		exec->used = false;
	else if (!exec->runs)
		send_exit(exec);
}

static void handle(const struct frame *frame)
{
	switch (frame->type) {
	case HELLO: say_welcome(frame); break;
	case CONFIGURE:
	case REFRESH: configure(frame); break;
	case EXEC: begin_exec(frame); break;
	case EXECS: list_execs(frame); break;
	case SIGNAL:
	case ATTACH:
	case FORGET: about_exec(frame); break;
	case DATA:
	case END:
	case CREDIT:
	case MORE: break;
	case SHUTDOWN: goes_down = true; send_ok(frame); break;
	default: send_ok(frame); break;
	}
}

void guest_connected(void)
{
	frames_forget();
}

void guest_received(const uint8_t *bytes, size_t size)
{
	frames_feed(bytes, size, handle);
}

void guest_run(void)
{
	boot[0] = machine_cycles();
	boot[1] = boot[0] * 0x9e3779b97f4a7c15ULL;
	if (!vsock_begin()) {
		machine_print("freestanding: no vsock device\n");
		machine_reset();
	}
	machine_print("freestanding: ready\n");
	for (uint32_t polls = 1;; polls++) {
		vsock_poll();
		if (goes_down || (polls % POLLS_BETWEEN_KEYS == 0 && machine_asked_to_end())) {
			machine_print("freestanding: ends\n");
			machine_reset();
		}
		__asm__ volatile("pause");
	}
}
