#include "users.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { FIELDS_MAX = 7 };

struct text {
	const char *at;
	size_t length;
};

/* One line, split at colons; missing fields are empty. Advances *text. */
static bool next_line(const char **text, struct text field[FIELDS_MAX])
{
	const char *at = *text, *end;

	if (!*at)
		return false;
	end = at + strcspn(at, "\n");
	for (int i = 0; i < FIELDS_MAX; i++) {
		const char *colon = memchr(at, ':', (size_t)(end - at));
		const char *stop = colon ? colon : end;

		field[i] = (struct text){ at, (size_t)(stop - at) };
		at = colon ? colon + 1 : end;
	}
	*text = *end ? end + 1 : end;
	return true;
}

static bool text_is(struct text text, const char *other, size_t length)
{
	return text.length == length && memcmp(text.at, other, length) == 0;
}

static bool text_id(struct text text, uint32_t *id)
{
	uint64_t value = 0;

	if (text.length == 0 || text.length > 10)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text.at[i] - '0');
	}
	/* The highest value means "no id" to the kernel. */
	if (value >= UINT32_MAX)
		return false;
	*id = (uint32_t)value;
	return true;
}

static void text_copy(struct text text, char *out)
{
	if (text.length >= USER_TEXT_MAX)
		text.length = 0;
	memcpy(out, text.at, text.length);
	out[text.length] = 0;
}

static bool take_passwd(struct user *user, const char *passwd, struct text name, bool by_id,
			uint32_t id)
{
	struct text field[FIELDS_MAX];
	uint32_t uid, gid;

	while (next_line(&passwd, field)) {
		if (field[0].length == 0 || !text_id(field[2], &uid) || !text_id(field[3], &gid))
			continue;
		if (by_id ? uid != id : !text_is(field[0], name.at, name.length))
			continue;
		user->uid = uid;
		user->gid = gid;
		text_copy(field[0], user->name);
		text_copy(field[5], user->home);
		text_copy(field[6], user->shell);
		return true;
	}
	return false;
}

static bool find_group(const char *group, struct text name, uint32_t *gid)
{
	struct text field[FIELDS_MAX];

	while (next_line(&group, field))
		if (text_is(field[0], name.at, name.length) && text_id(field[2], gid))
			return true;
	return false;
}

static bool has_member(struct text members, const char *name)
{
	size_t length = strlen(name);

	while (members.length) {
		const char *comma = memchr(members.at, ',', members.length);
		size_t first = comma ? (size_t)(comma - members.at) : members.length;

		if (first == length && memcmp(members.at, name, length) == 0)
			return true;
		if (!comma)
			break;
		members.at += first + 1;
		members.length -= first + 1;
	}
	return false;
}

static void take_groups(struct user *user, const char *group)
{
	struct text field[FIELDS_MAX];
	uint32_t gid;

	if (!user->name[0])
		return;
	while (next_line(&group, field) && user->group_count < GROUPS_MAX)
		if (text_id(field[2], &gid) && has_member(field[3], user->name))
			user->groups[user->group_count++] = gid;
}

int user_resolve(struct user *user, const char *spec, const char *passwd, const char *group,
		 struct err *err)
{
	const char *colon = strchr(spec, ':');
	struct text name = { spec, colon ? (size_t)(colon - spec) : strlen(spec) };
	uint32_t id = 0;

	memset(user, 0, sizeof *user);
	if (name.length == 0)
		name = (struct text){ "root", 4 };
	if (!take_passwd(user, passwd, name, false, 0)) {
		bool root = text_is(name, "root", 4);

		if (!text_id(name, &id) && !root)
			return err_set(err, ERR_NO_SUCH_USER, 0, "no user %.*s in the image",
				       (int)(name.length > 64 ? 64 : name.length), name.at);
		/* An image may have no passwd file at all: a number needs no entry. */
		if (!take_passwd(user, passwd, name, true, id)) {
			user->uid = id;
			user->gid = 0;
			if (root)
				strcpy(user->name, "root");
		}
	}
	if (colon) {
		struct text group_name = { colon + 1, strlen(colon + 1) };

		if (!find_group(group, group_name, &id) && !text_id(group_name, &id))
			return err_set(err, ERR_NO_SUCH_USER, 0, "no group %.64s in the image",
				       colon + 1);
		user->gid = id;
	} else {
		take_groups(user, group);
	}
	if (!user->home[0])
		strcpy(user->home, "/");
	if (!user->shell[0])
		strcpy(user->shell, "/bin/sh");
	return 0;
}
