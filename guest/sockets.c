#include "sockets.h"

void sockets_put(struct field_writer *fields)
{
	(void)fields;
}
