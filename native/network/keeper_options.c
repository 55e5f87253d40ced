#include "keeper_options.h"

#include "keeper_refusal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int read_descriptor(const char *text, char **end)
{
	errno = 0;
	long number = strtol(text, end, 10);
	if (errno || *end == text || *text < '0' || *text > '9' || number > INT_MAX)
		refuse_usage("not a descriptor", text);
	return (int)number;
}

static int read_last_descriptor(const char *text)
{
	char *end;
	int number = read_descriptor(text, &end);

	if (*end)
		refuse_usage("not a descriptor", text);
	return number;
}

/* USER,NETWORK */
static void read_adopted(const char *text, struct options *options)
{
	char *end;

	options->user_namespace = read_descriptor(text, &end);
	if (*end != ',')
		refuse_usage("not two descriptors", text);
	options->network_namespace = read_last_descriptor(end + 1);
}

/* The rest of an argument that begins with `option`; NULL if it does not. */
static const char *value_of(const char *argument, const char *option)
{
	size_t length = strlen(option);

	return strncmp(argument, option, length) == 0 ? argument + length : NULL;
}

void options_read(int count, char **arguments, struct options *options)
{
	const char *v4 = "10.213.0.0/16", *v6 = "fd62:616e:6765::/64", *value;

	*options = (struct options){
		.listener = -1, .user_namespace = -1, .network_namespace = -1, .nft = "/usr/sbin/nft", .tun = "/dev/net/tun"};
	for (int i = 1; i < count; i++) {
		if ((value = value_of(arguments[i], "--listen=")))
			options->listener = read_last_descriptor(value);
		else if (strcmp(arguments[i], "--hold") == 0)
			options->hold = true;
		else if ((value = value_of(arguments[i], "--adopt=")))
			read_adopted(value, options);
		else if ((value = value_of(arguments[i], "--nft=")))
			options->nft = value;
		else if ((value = value_of(arguments[i], "--tun=")))
			options->tun = value;
		else if ((value = value_of(arguments[i], "--guests4=")))
			v4 = value;
		else if ((value = value_of(arguments[i], "--guests6=")))
			v6 = value;
		else
			refuse_usage("unknown option", arguments[i]);
	}
	if (options->hold ? options->network_namespace < 0 : options->listener < 0)
		refuse_usage("wanted", options->hold ? "--adopt=USER,NETWORK" : "--listen=FD");
	if (!guests_read(v4, v6, &options->guests))
		refuse_usage("not prefixes of guests", v4);
}
