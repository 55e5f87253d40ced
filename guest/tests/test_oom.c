#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "oom_record.h"

#define SIZES "total-vm:93512kB, anon-rss:91208kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:220kB"

static void kills_are_found_in_the_log(void)
{
	static const struct {
		const char *record;
		pid_t pid;
		const char *name;
	} table[] = {
		{ "3,512,1234567,-;Out of memory: Killed process 214 (tail) " SIZES "\n", 214, "tail" },
		{ "3,512,1234567,-,caller=T1;Out of memory: Killed process 1 (a b) " SIZES, 1, "a b" },
		{ "3,9,1,-;Memory cgroup out of memory: Killed process 4194304 (x) " SIZES "\n", 4194304, "x" },
		{ "0,9,1,-;Out of memory (oom_kill_allocating_task): Killed process 7 (x) " SIZES, 7, "x" },
		{ "3,9,1,-;Out of memory: Killed process 2147483647 (x)", 2147483647, "x" },
		/* Names are anybody's to choose. */
		{ "3,9,1,-;Out of memory: Killed process 7 () " SIZES "\n", 7, "" },
		{ "3,9,1,-;Out of memory: Killed process 7 (a) total-vm:1) " SIZES "\n", 7, "a) total-vm:1" },
		{ "3,9,1,-;Out of memory: Killed process 7 ((((;)) " SIZES "\n", 7, "(((;)" },
		{ "3,9,1,-;Out of memory: Killed process 7 (\\x1b[2J\\x0a) " SIZES "\n", 7, "\\x1b[2J\\x0a" },
		{ "3,9,1,-;Out of memory: Killed process 7 (x) " SIZES "\n DEVICE=(y)\n", 7, "x" },
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct oom_victim victim;

		CHECK(oom_record_parse(table[i].record, &victim));
		CHECK(victim.pid == table[i].pid && strcmp(victim.name, table[i].name) == 0);
	}
}

static void what_is_no_kill_is_passed_over(void)
{
	static const char *const table[] = {
		"",
		"3",
		"3,",
		"3,512,1234567,-",
		"3,512,1234567,-;",
		"3,512,1234567,-;Out of memory",
		"3,512,1234567,-;Out of memory: Killed process ",
		"3,512,1234567,-;Out of memory: Killed process 214",
		"3,512,1234567,-;Out of memory: Killed process 214 ",
		"3,512,1234567,-;Out of memory: Killed process 214 (",
		"3,512,1234567,-;Out of memory: Killed process 214 (tail",
		"3,512,1234567,-;Out of memory: Killed process 214 (\n DEVICE=)\n",
		"3,512,1234567,-;Out of memory: Killed process 214\n (tail)",
		"3,512,1234567,-;Out of memory: Killed process 214, (tail)",
		"3,512,1234567,-;Out of memory: Killed process (tail)",
		"3,512,1234567,-;Out of memory: Killed process  214 (tail)",
		"3,512,1234567,-;Out of memory: Killed process -1 (tail)",
		"3,512,1234567,-;Out of memory: Killed process +1 (tail)",
		"3,512,1234567,-;Out of memory: Killed process 0 (tail)",
		"3,512,1234567,-;Out of memory: Killed process 0x7 (tail)",
		"3,512,1234567,-;Out of memory: Killed process 2147483648 (tail)",
		"3,512,1234567,-;Out of memory: Killed process 99999999999999999999999 (tail)",
		"3,512,1234567,-;Out of memory: killed process 214 (tail)",
		"3,512,1234567,-;oom-kill:task_memcg=/Out of memory: Killed process 214 (tail),pid=7",
		"3,512,1234567,-; Out of memory: Killed process 214 (tail)",
		"6,512,1234567,-;tail invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE)",
		/* Programs write with other facilities than the kernel's. */
		"8,512,1234567,-;Out of memory: Killed process 214 (tail) " SIZES,
		"11,512,1234567,-;Out of memory: Killed process 214 (tail) " SIZES,
		"30,512,1234567,-;Out of memory: Killed process 214 (tail) " SIZES,
		"-3,512,1234567,-;Out of memory: Killed process 214 (tail) " SIZES,
		" 3,512,1234567,-;Out of memory: Killed process 214 (tail) " SIZES,
		" DEVICE=x;Out of memory: Killed process 214 (tail) " SIZES,
	};
	struct oom_victim victim;

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		CHECK(!oom_record_parse(table[i], &victim));
}

static void no_name_is_too_long(void)
{
	static const char head[] = "3,9,1,-;Out of memory: Killed process 7 (";
	char record[900], text[OOM_TEXT_SIZE];
	struct oom_victim victim;

	memset(record, 'n', sizeof record);
	memcpy(record, head, sizeof head - 1);
	strcpy(record + sizeof record - 2, ")");
	CHECK(oom_record_parse(record, &victim) && strlen(victim.name) == OOM_NAME_SIZE - 1);
	victim.pid = INT32_MAX;
	oom_describe(&victim, UINT32_MAX, text);
	CHECK(strstr(text, "before"));
}

static void no_cut_or_garbled_record_is_read_beyond(void)
{
	static const char whole[] =
		"3,512,1234567,-;Memory cgroup out of memory: Killed process 214 (a) b) " SIZES "\n A=(b)\n";
	struct oom_victim victim;
	uint64_t state = 4711;

	for (size_t length = 0; length < sizeof whole; length++) {
		/* Of its very size, so that the sanitizer sees the first byte too many. */
		char *record = malloc(length + 1);

		CHECK(record);
		memcpy(record, whole, length);
		record[length] = 0;
		oom_record_parse(record, &victim);
		for (int i = 0; length && i < 200; i++) {
			record[draw(&state) % length] = (char)(1 + draw(&state) % 255);
			oom_record_parse(record, &victim);
		}
		free(record);
	}
}

static void people_are_told_who_it_was(void)
{
	static const struct oom_victim nobody, tail = { 214, "tail" };
	char text[OOM_TEXT_SIZE];

	oom_describe(&tail, 1, text);
	CHECK(strcmp(text, "killed process 214 (tail) for lack of memory") == 0);
	oom_describe(&tail, 3, text);
	CHECK(strcmp(text, "killed process 214 (tail) for lack of memory, and 2 before") == 0);
	oom_describe(&nobody, 1, text);
	CHECK(strcmp(text, "killed a process for lack of memory") == 0);
}

void test_oom(void)
{
	kills_are_found_in_the_log();
	what_is_no_kill_is_passed_over();
	no_name_is_too_long();
	no_cut_or_garbled_record_is_read_beyond();
	people_are_told_who_it_was();
}
