#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keeper.h"

/* The disk that holds a partition: the folder above the partition's own in sysfs. */
static bool disk_of(const char *partition_folder, char disk[NAME_BYTES])
{
    char real[PATH_MAX], *slash;

    if (!realpath(partition_folder, real) || !(slash = strrchr(real, '/')))
        return false;
    *slash = '\0';
    slash = strrchr(real, '/');
    return slash && snprintf(disk, NAME_BYTES, "%s", slash + 1) < NAME_BYTES;
}

/* What follows `field=` in the uevent file of a sysfs folder. */
static bool uevent_value(const char *folder, const char *field, char value[NAME_BYTES])
{
    char path[PATH_BYTES + 8], text[TEXT_BYTES], *line, *rest = text;
    size_t length = strlen(field);

    snprintf(path, sizeof path, "%s/uevent", folder);
    if (!read_text(path, text))
        return false;
    while ((line = strsep(&rest, "\n")))
        if (!strncmp(line, field, length) && line[length] == '=')
            return snprintf(value, NAME_BYTES, "%s", line + length + 1) < NAME_BYTES;
    return false;
}

static bool read_partition(const char *folder, struct partition *found)
{
    char path[PATH_BYTES + 8], number[TEXT_BYTES];
    uint64_t place;

    snprintf(path, sizeof path, "%s/partition", folder);
    if (!read_number(path, &place) || !uevent_value(folder, "DEVNAME", found->name) || !disk_of(folder, found->disk))
        return false;
    snprintf(path, sizeof path, "%s/start", folder);
    if (!read_number(path, &found->start_sectors))
        return false;
    snprintf(path, sizeof path, "%s/size", folder);
    if (!read_number(path, &found->size_sectors))
        return false;
    snprintf(path, sizeof path, "%s/dev", folder);
    return read_text(path, number) && sscanf(number, "%u:%u", &found->major, &found->minor) == 2;
}

bool partition_by_number(unsigned major, unsigned minor, struct partition *found)
{
    char folder[PATH_BYTES];

    return read_partition(path_of(folder, "/sys/dev/block/%u:%u", major, minor), found);
}

bool partition_by_gpt_name(const char *disk, const char *gpt_name, struct partition *found)
{
    char folder[PATH_BYTES], path[PATH_BYTES], name[NAME_BYTES];
    struct dirent *entry;
    bool is_there = false;
    DIR *entries = opendir(path_of(folder, "/sys/block/%s", disk));

    while (entries && !is_there && (entry = readdir(entries))) {
        if (strncmp(entry->d_name, disk, strlen(disk)))
            continue;
        path_of(path, "/sys/block/%s/%s", disk, entry->d_name);
        is_there = uevent_value(path, "PARTNAME", name) && !strcmp(name, gpt_name) && read_partition(path, found);
    }
    if (entries)
        closedir(entries);
    return is_there;
}

/* Whether the disk is there and answers. After errors that it does not recover from the kernel sets a SCSI disk
 * offline, for good: then only pulling it out and putting it in again helps, so that is what is asked for. */
bool is_online(const char *disk)
{
    char path[PATH_BYTES], state[TEXT_BYTES];

    if (access(path_of(path, "/sys/block/%s", disk), F_OK))
        return false;
    return !read_text(path_of(path, "/sys/block/%s/device/state", disk), state) ||
           (strcmp(state, "offline\n") && strcmp(state, "transport-offline\n"));
}

/* Whether the disk keeps writes in a cache that a power cut empties: then what it had answered for may be gone. */
bool forgets_without_power(const char *disk)
{
    char path[PATH_BYTES], cache[TEXT_BYTES];

    return read_text(path_of(path, "/sys/block/%s/queue/write_cache", disk), cache) && !strncmp(cache, "write back", 10);
}

/* Disks are numbered in the order of their coming (sysfs-block: diskseq). */
uint64_t disk_sequence(const char *disk)
{
    char path[PATH_BYTES];
    uint64_t number = 0;

    read_number(path_of(path, "/sys/block/%s/diskseq", disk), &number);
    return number;
}

/* The next disk that could be a stick; `folder` begins as NULL, and is NULL again behind the last. */
bool next_disk(void **folder, char disk[NAME_BYTES])
{
    static const char *const others[] = {"loop", "ram", "zram", "dm-", "sr", "fd", "nbd", "md"};
    char path[PATH_BYTES];
    struct dirent *entry;

    if (!*folder && !(*folder = opendir(path_of(path, "/sys/block"))))
        return false;
    while ((entry = readdir(*folder))) {
        bool is_other = entry->d_name[0] == '.';

        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            is_other = is_other || !strncmp(entry->d_name, others[i], strlen(others[i]));
        if (!is_other && snprintf(disk, NAME_BYTES, "%s", entry->d_name) < NAME_BYTES)
            return true;
    }
    closedir(*folder);
    *folder = NULL;
    return false;
}

uint64_t newest_disk(void)
{
    char disk[NAME_BYTES];
    void *folder = NULL;
    uint64_t newest = 0;

    while (next_disk(&folder, disk))
        if (disk_sequence(disk) > newest)
            newest = disk_sequence(disk);
    return newest;
}
