/* Device-mapper's ioctls (linux/dm-ioctl.h), and a table of one dm-multipath target with one path: as long as no path
 * answers, requests wait in it instead of failing (Documentation/admin-guide/device-mapper/dm-queue-length, dm-mpath.c
 * "queue_if_no_path"). Bio-based, because only so can it lie on a partition. */
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "keeper.h"

const char HOST_MAP[] = "stick-host", PARCELS_MAP[] = "stick-parcels";

struct request {
    struct dm_ioctl head;
    union {
        struct {
            struct dm_target_spec target;
            char parameters[512];
        };
        struct {
            struct dm_target_msg message;
            char words[512];
        };
        char answer[2048];
    };
};

static bool ask(unsigned long command, struct request *request, const char *map, uint32_t flags)
{
    static int control = -1;
    char path[PATH_BYTES];

    if (control < 0)
        control = open(path_of(path, "/dev/mapper/control"), O_RDWR | O_CLOEXEC);
    request->head.version[0] = DM_VERSION_MAJOR;
    request->head.data_size = sizeof *request;
    request->head.data_start = offsetof(struct request, target);
    request->head.flags = flags;
    snprintf(request->head.name, sizeof request->head.name, "%s", map);
    return control >= 0 && !ioctl(control, command, request);
}

static bool load(const char *map, const struct partition *partition, uint64_t sectors, bool read_only)
{
    struct request request = {.head = {.target_count = 1}};

    request.target.length = sectors;
    strcpy(request.target.target_type, "multipath");
    snprintf(request.parameters, sizeof request.parameters,
             "3 queue_if_no_path queue_mode bio 0 1 1 round-robin 0 1 0 %u:%u", partition->major, partition->minor);
    return ask(DM_TABLE_LOAD, &request, map, read_only ? DM_READONLY_FLAG : 0);
}

/* Starts what was loaded; also ends a suspension. */
static bool resume(const char *map)
{
    struct request request = {0};

    return ask(DM_DEV_SUSPEND, &request, map, 0);
}

static bool send(const char *map, const char *words)
{
    struct request request = {0};

    snprintf(request.words, sizeof request.words, "%s", words);
    return ask(DM_TARGET_MSG, &request, map, 0);
}

static const char *table(struct request *request, const char *map, uint32_t flags)
{
    memset(request, 0, sizeof *request);
    if (!ask(DM_TABLE_STATUS, request, map, flags) || request->head.target_count != 1)
        return NULL;
    return (const char *)request + request->head.data_start + sizeof(struct dm_target_spec);
}

/* The number of the new map's /dev/dm-N, or -1. */
int make_map(const char *map, const struct partition *partition, bool read_only)
{
    struct request request = {0};
    int number;

    if (!ask(DM_DEV_CREATE, &request, map, 0))
        return -1;
    number = (int)minor(request.head.dev);
    if (load(map, partition, partition->size_sectors, read_only) && resume(map))
        return number;
    memset(&request, 0, sizeof request);
    ask(DM_DEV_REMOVE, &request, map, 0);
    return -1;
}

/* The path's number ends the table, and its state (A active, F failed) follows the same number in the status. */
bool look_at_map(const char *map, struct map *found)
{
    struct request request;
    const char *words = table(&request, map, DM_STATUS_TABLE_FLAG), *place;
    char path[32];

    if (!words || !(place = strstr(words, " round-robin ")) ||
        sscanf(place, " round-robin 0 1 %*u %u:%u", &found->major, &found->minor) != 2)
        return false;
    found->sectors = ((struct dm_target_spec *)((char *)&request + request.head.data_start))->length;
    found->opened = (unsigned)request.head.open_count;
    snprintf(path, sizeof path, " %u:%u ", found->major, found->minor);
    words = table(&request, map, 0);
    place = words ? strstr(words, path) : NULL;
    found->failed = place && place[strlen(path)] == 'F';
    return true;
}

/* Puts another partition below the map. What waits in it is kept by the suspension (noflush) and asked anew of the new
 * one; no file system is frozen for it, because that would write, and wait. */
bool repoint_map(const char *map, const struct partition *partition, uint64_t sectors, bool read_only)
{
    struct request request = {0};

    return load(map, partition, sectors, read_only) &&
           ask(DM_DEV_SUSPEND, &request, map, DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG | DM_NOFLUSH_FLAG) && resume(map);
}

bool try_again(const char *map, const struct map *seen)
{
    char words[64];

    snprintf(words, sizeof words, "reinstate_path %u:%u", seen->major, seen->minor);
    return send(map, words);
}

/* What waits is answered with the error that it is; what comes after that is tried again. */
bool give_up(const char *map, const struct map *seen)
{
    bool failed = send(map, "fail_if_no_path");

    failed = try_again(map, seen) && failed;
    return send(map, "queue_if_no_path") && failed;
}
