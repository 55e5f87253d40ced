/* How the keeper ends when it cannot start: the last line on stderr is "keeper: CODE: WHAT: WHY". */
#ifndef BANGER_KEEPER_REFUSAL_H
#define BANGER_KEEPER_REFUSAL_H

enum { EXIT_USAGE = 125, EXIT_REFUSED = 126 };

/* What the host refuses. The codes are read by programs and do not change. */
#define USER_NAMESPACES_REFUSED "user_namespaces_refused"
#define NAMESPACES_REFUSED "namespaces_refused"
#define SETTINGS_REFUSED "settings_refused"
#define ROUTES_REFUSED "routes_refused"
#define SOCKETS_REFUSED "sockets_refused"
#define FILTER_REFUSED "filter_refused"
#define TUN_REFUSED "tun_refused"

/* WHY is that of errno. */
void refuse(const char *code, const char *what) __attribute__((noreturn));

/* For a wrong option: "keeper: usage: WHAT: ARGUMENT". */
void refuse_usage(const char *what, const char *argument) __attribute__((noreturn));

#endif
