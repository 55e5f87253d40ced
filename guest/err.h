/* The one error object. Functions that can fail take it as their last argument and return -1. */
#ifndef BANGER_ERR_H
#define BANGER_ERR_H

/* Codes of FAIL, in the words of docs/protocol.md. */
enum err_code {
	ERR_NONE,
	ERR_BAD_REQUEST,
	ERR_UNKNOWN_VERB,
	ERR_VERSION,
	ERR_NOT_CONFIGURED,
	ERR_ALREADY_CONFIGURED,
	ERR_BUSY,
	ERR_NO_SUCH_EXEC,
	ERR_NO_SUCH_USER,
	ERR_BAD_CWD,
	ERR_NOT_FOUND,
	ERR_NOT_EXECUTABLE,
	ERR_REFUSED,
	ERR_IO,
};

struct err {
	enum err_code code;
	int number; /* errno behind it, 0 if none */
	char message[200];
};

/* Fills err and returns -1. With a number, its text is appended to the message. */
int err_set(struct err *err, enum err_code code, int number, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

const char *err_name(enum err_code code);

#endif
