/* What depmod wrote about a kernel's modules. Pure, no I/O.
 *
 * A module is called by its file's name without .ko and what follows; - and _ are the same in it, as
 * in names that the kernel asks for. */
#ifndef BANGER_MODULE_INDEX_H
#define BANGER_MODULE_INDEX_H

#include <stdbool.h>
#include <sys/types.h>

#include "fields.h"

enum { MODULE_NAME_SIZE = 128 };

typedef void module_visit(struct span name, void *context);

/* The module's name out of its path. False if it is too long to be one. */
bool module_name(struct span path, char name[MODULE_NAME_SIZE]);
/* The line of modules.dep of the module with that name: its path, and the paths of all that it needs,
 * the one to load first at the end. */
bool module_find(const char *dep, const char *name, struct span *path, struct span *needs);
/* Takes the last path off a list of them. */
bool module_take_last(struct span *paths, struct span *path);
/* Visits the modules whose alias, in modules.alias or modules.symbols, is a pattern for the name. */
void module_each_alias(const char *aliases, const char *name, module_visit *visit, void *context);
/* Visits what the module would like to have loaded before it, or after it. */
void module_each_soft(const char *softdep, const char *name, bool after, module_visit *visit,
		      void *context);

/* A device that is there before its module: opening it loads that. */
struct device_node {
	char name[64]; /* below /dev */
	mode_t type;
	unsigned major, minor;
};

/* A line of modules.devname. False if it is none, or names a place outside of /dev. */
bool device_node_parse(const char *line, struct device_node *node);

#endif
