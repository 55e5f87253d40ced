/* Words, addresses and prefixes of requests to the keeper: what is read, and what is refused. */
#include "../keeper_address.h"
#include "../keeper_words.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANDOM_PACKETS = 200000, PACKET_SIZE = 96 };

static bool split(const char *text, struct words *words)
{
	/* A copy of just this size: a sanitizer sees what is read beyond it. */
	size_t length = strlen(text);
	char *copy = malloc(length ? length : 1);

	assert(copy);
	memcpy(copy, text, length);
	bool done = words_split(copy, length, words);
	free(copy);
	return done;
}

static void test_words(void)
{
	static const char *const wrong[] = {
		"", " ", "\n", "\n\n", "tap ", " tap", "tap  a", "tap a\n\n", "tap\ta", "tap \x7f", "tap \xc3\xa9", "a b c d e f g",
		"tap\na"};
	struct words words;

	assert(split("list", &words) && words.count == 1 && strcmp(words.at[0], "list") == 0);
	assert(split("bind a 10.213.0.5 -\n", &words) && words.count == 4 && strcmp(words.at[3], "-") == 0);
	assert(split("a b c d e f", &words) && words.count == WORDS_MOST);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert(!split(wrong[i], &words));
	char longest[WORD_SIZE + 1];
	memset(longest, 'k', sizeof longest);
	assert(words_split(longest, WORD_SIZE - 1, &words) && strlen(words.at[0]) == WORD_SIZE - 1);
	assert(!words_split(longest, WORD_SIZE, &words));
}

static void test_words_at_random(void)
{
	static const char letters[] = "a9.:- \n\0\xff";
	struct words words;

	srand(1);
	for (int i = 0; i < RANDOM_PACKETS; i++) {
		size_t length = (size_t)rand() % PACKET_SIZE;
		char *packet = malloc(length ? length : 1);
		assert(packet);
		for (size_t j = 0; j < length; j++)
			packet[j] = letters[(size_t)rand() % sizeof letters];
		if (words_split(packet, length, &words)) {
			assert(words.count >= 1 && words.count <= WORDS_MOST);
			for (size_t j = 0; j < words.count; j++)
				assert(words.at[j][0] && strlen(words.at[j]) < WORD_SIZE);
		}
		free(packet);
	}
}

static void test_keys(void)
{
	assert(is_key("tap-vm.1_A") && is_key("-"));
	assert(!is_key("") && !is_key("a/b") && !is_key("a b") && !is_key("\xc3\xa9"));
}

static void test_numbers(void)
{
	static const char *const wrong[] = {"", "-1", "+1", "07", "00", " 1", "1 ", "1x", "0x1", "60001", "9999999", "18446744073709551617"};
	unsigned number;

	assert(is_number("0", 0, 10, &number) && number == 0);
	assert(is_number("60000", 1, 60000, &number) && number == 60000);
	assert(!is_number("0", 1, 60000, &number));
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert(!is_number(wrong[i], 0, 60000, &number));
}

static void test_addresses(void)
{
	struct address address;
	char text[ADDRESS_TEXT];

	assert(is_address("10.213.0.5", &address) && address.family == AF_INET);
	assert(strcmp(address_write(&address, text), "10.213.0.5") == 0);
	assert(is_address("fd62:616e:6765::5", &address) && address.family == AF_INET6);
	assert(is_address_or_none("-", AF_INET, &address) && address.family == 0);
	assert(strcmp(address_write(&address, text), "-") == 0);
	assert(!is_address_or_none("::1", AF_INET, &address) && !is_address_or_none("1.2.3.4", AF_INET6, &address));
	assert(!is_address("10.213.5", &address) && !is_address("10.213.0.05", &address) && !is_address("", &address));
	assert(!is_address("fe80::1%vm0", &address));
}

static bool may_have(const struct guests *guests, const char *text)
{
	struct address address;

	assert(is_address(text, &address));
	return guests_may_have(guests, &address);
}

static void test_prefixes_of_guests(void)
{
	static const char *const wrong[] = {
		"10.213.0.0", "10.213.0.0/", "10.213.0.0/33", "10.213.0.1/16", "10.213.0.0/31", "10.213.0.0/16x", "10.213.0.0/ 16",
		"10.213.0.0/-1", "/16", "fd62::/64", "10.213.0.0/18446744073709551632"};
	static const char v4[] = "10.213.0.0/16", v6[] = "fd62:616e:6765::/64";
	struct guests guests;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert(!guests_read(wrong[i], v6, &guests) && !guests_read(v4, wrong[i], &guests) == (wrong[i][0] != 'f'));
	assert(guests_read(v4, v6, &guests));
	assert(may_have(&guests, "10.213.0.2") && may_have(&guests, "10.213.255.255"));
	assert(may_have(&guests, "fd62:616e:6765::2") && may_have(&guests, "fd62:616e:6765::ffff:1:1"));
	assert(!may_have(&guests, "10.213.0.0") && !may_have(&guests, "10.213.0.1"));
	assert(!may_have(&guests, "10.214.0.2") && !may_have(&guests, "127.0.0.1"));
	assert(!may_have(&guests, "fd62:616e:6765::") && !may_have(&guests, "fd62:616e:6765::1"));
	assert(!may_have(&guests, "fd62:616e:6765:1::2") && !may_have(&guests, "::ffff:10.213.0.2"));
}

int main(void)
{
	test_words();
	test_words_at_random();
	test_keys();
	test_numbers();
	test_addresses();
	test_prefixes_of_guests();
	puts("ok: the words of the keeper");
	return 0;
}
