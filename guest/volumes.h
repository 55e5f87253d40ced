/* Volumes: disks of their own, each mounted at the place that the machine wants it at. */
#ifndef BANGER_VOLUMES_H
#define BANGER_VOLUMES_H

#include "err.h"
#include "fields.h"
#include "verbs.h"

/* Mounts what the fields say. */
int volumes_mount_all(const struct fields *fields, struct err *err);
/* The verb: mounts what lies in directories of the host, once these are mounted. */
void volumes(const struct request *request);
/* Before the power goes off: so that no journal is left to replay. */
void volumes_put_away(void);

#endif
