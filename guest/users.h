/* Users of the image, from the text of its own passwd and group files. Pure, no I/O. */
#ifndef BANGER_USERS_H
#define BANGER_USERS_H

#include <stddef.h>
#include <sys/types.h>

#include "err.h"

enum { GROUPS_MAX = 256, USER_TEXT_MAX = 256 };

struct user {
	uid_t uid;
	gid_t gid;
	char name[USER_TEXT_MAX], home[USER_TEXT_MAX], shell[USER_TEXT_MAX];
	size_t group_count;
	gid_t groups[GROUPS_MAX]; /* supplementary; empty where the request names a group */
};

/* Resolves `name or uid[:group or gid]`; an empty spec is root. */
int user_resolve(struct user *user, const char *spec, const char *passwd, const char *group,
		 struct err *err);

#endif
