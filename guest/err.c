#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, enum err_code code, int number, const char *format, ...)
{
	va_list arguments;

	err->code = code;
	err->number = number;
	va_start(arguments, format);
	vsnprintf(err->message, sizeof err->message, format, arguments);
	va_end(arguments);
	if (number) {
		size_t used = strlen(err->message);
		snprintf(err->message + used, sizeof err->message - used, ": %s", strerror(number));
	}
	return -1;
}

const char *err_name(enum err_code code)
{
	switch (code) {
	case ERR_BAD_REQUEST: return "bad_request";
	case ERR_UNKNOWN_VERB: return "unknown_verb";
	case ERR_VERSION: return "version";
	case ERR_NOT_CONFIGURED: return "not_configured";
	case ERR_ALREADY_CONFIGURED: return "already_configured";
	case ERR_BUSY: return "busy";
	case ERR_NO_SUCH_EXEC: return "no_such_exec";
	case ERR_NO_SUCH_USER: return "no_such_user";
	case ERR_BAD_CWD: return "bad_cwd";
	case ERR_NOT_FOUND: return "not_found";
	case ERR_NOT_EXECUTABLE: return "not_executable";
	case ERR_REFUSED: return "refused";
	case ERR_NONE:
	case ERR_IO: break;
	}
	return "io";
}
