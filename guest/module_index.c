#include "module_index.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PATTERN_SIZE = 512 };

/* - and _ are one; within the brackets of a pattern a - is a range. */
static void make_canonical(char *text)
{
	bool brackets = false;

	for (; *text; text++) {
		if (*text == '[')
			brackets = true;
		else if (*text == ']')
			brackets = false;
		else if (*text == '-' && !brackets)
			*text = '_';
	}
}

static bool copy_canonical(struct span from, char *to, size_t size)
{
	if (!span_copy(from, to, size))
		return false;
	make_canonical(to);
	return true;
}

/* Takes the next line, without its newline, off the text. */
static bool next_line(const char **text, struct span *line)
{
	if (!**text)
		return false;
	line->data = *text;
	line->length = strcspn(*text, "\n");
	*text += line->length + (line->data[line->length] == '\n');
	return true;
}

/* Takes the next word off the line. */
static bool next_word(struct span *line, struct span *word)
{
	while (line->length && *line->data == ' ') {
		line->data++;
		line->length--;
	}
	word->data = line->data;
	word->length = 0;
	while (word->length < line->length && word->data[word->length] != ' ')
		word->length++;
	line->data += word->length;
	line->length -= word->length;
	return word->length > 0;
}

bool module_name(struct span path, char name[MODULE_NAME_SIZE])
{
	const char *slash = memrchr(path.data, '/', path.length);
	size_t directory = slash ? (size_t)(slash - path.data) + 1 : 0;
	char *suffix;

	path.data += directory;
	path.length -= directory;
	if (!span_copy(path, name, MODULE_NAME_SIZE))
		return false;
	suffix = strstr(name, ".ko");
	if (suffix)
		*suffix = 0;
	make_canonical(name);
	return name[0];
}

bool module_find(const char *dep, const char *name, struct span *path, struct span *needs)
{
	char wanted[MODULE_NAME_SIZE], found[MODULE_NAME_SIZE];
	struct span line;

	if (!copy_canonical((struct span){ name, strlen(name) }, wanted, sizeof wanted))
		return false;
	while (next_line(&dep, &line)) {
		const char *colon = memchr(line.data, ':', line.length);

		if (!colon)
			continue;
		*path = (struct span){ line.data, (size_t)(colon - line.data) };
		*needs = (struct span){ colon + 1, line.length - path->length - 1 };
		if (module_name(*path, found) && strcmp(found, wanted) == 0)
			return true;
	}
	return false;
}

bool module_take_last(struct span *paths, struct span *path)
{
	while (paths->length && paths->data[paths->length - 1] == ' ')
		paths->length--;
	*path = (struct span){ paths->data + paths->length, 0 };
	while (paths->length && paths->data[paths->length - 1] != ' ') {
		paths->length--;
		path->data--;
		path->length++;
	}
	return path->length > 0;
}

void module_each_alias(const char *aliases, const char *name, module_visit *visit, void *context)
{
	char wanted[PATTERN_SIZE], pattern[PATTERN_SIZE];
	struct span line, word, module;

	if (!copy_canonical((struct span){ name, strlen(name) }, wanted, sizeof wanted))
		return;
	while (next_line(&aliases, &line))
		if (next_word(&line, &word) && span_is(word, "alias") && next_word(&line, &word) &&
		    next_word(&line, &module) && copy_canonical(word, pattern, sizeof pattern) &&
		    fnmatch(pattern, wanted, 0) == 0)
			visit(module, context);
}

static void each_soft_of_line(struct span line, bool after, module_visit *visit, void *context)
{
	bool wanted = false;
	struct span word;

	while (next_word(&line, &word)) {
		if (span_is(word, "pre:"))
			wanted = !after;
		else if (span_is(word, "post:"))
			wanted = after;
		else if (wanted)
			visit(word, context);
	}
}

void module_each_soft(const char *softdep, const char *name, bool after, module_visit *visit,
		      void *context)
{
	char found[MODULE_NAME_SIZE];
	struct span line, word;

	while (next_line(&softdep, &line))
		if (next_word(&line, &word) && span_is(word, "softdep") && next_word(&line, &word) &&
		    copy_canonical(word, found, sizeof found) && strcmp(found, name) == 0)
			each_soft_of_line(line, after, visit, context);
}

static bool stays_below(const char *name)
{
	return name[0] != '/' && strcmp(name, "..") != 0 && strncmp(name, "../", 3) != 0 &&
	       !strstr(name, "/../") && !(strlen(name) > 2 && strcmp(name + strlen(name) - 3, "/..") == 0);
}

bool device_node_parse(const char *line, struct device_node *node)
{
	char kind;

	if (sscanf(line, "%*s %63s %c%u:%u", node->name, &kind, &node->major, &node->minor) != 4 ||
	    (kind != 'c' && kind != 'b') || node->major > 0xfff || node->minor > 0xfffff)
		return false;
	node->type = kind == 'c' ? S_IFCHR : S_IFBLK;
	return line[0] != '#' && stays_below(node->name);
}
