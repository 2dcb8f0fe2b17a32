/* keeper map MAP PARTITION [read-only]   makes a map over a partition; prints dm-N
 * keeper resize MAP                      makes a map as large as its partition is now
 * keeper mark PARTITION                  writes a new boot mark to the end of the partition
 * keeper judge                           says whose disks are there, for tests
 * keeper keep                            runs until the PC is off
 *
 * PARTITION is a name as in /dev. `--below FOLDER` before the command makes it read another tree, for tests. */
#include <stdio.h>
#include <string.h>

#include "keeper.h"

static int complain(const char *what)
{
    fprintf(stderr, "keeper: %s\n", what);
    return 1;
}

static int map(const char *map, const char *name, bool read_only)
{
    char path[PATH_BYTES], number[TEXT_BYTES];
    struct partition partition;
    unsigned major, minor;
    int made;

    if (!read_text(path_of(path, "/sys/class/block/%s/dev", name), number) ||
        sscanf(number, "%u:%u", &major, &minor) != 2 || !partition_by_number(major, minor, &partition))
        return complain("there is no such partition");
    made = make_map(map, &partition, read_only);
    if (made < 0)
        return complain("device-mapper refuses the map");
    printf("dm-%d\n", made);
    return 0;
}

static int resize(const char *name)
{
    struct partition partition;
    struct map map;

    if (!look_at_map(name, &map) || !partition_by_number(map.major, map.minor, &partition))
        return complain("there is no such map, or its partition is gone");
    if (!repoint_map(name, &partition, partition.size_sectors, false))
        return complain("device-mapper refuses the new size");
    return 0;
}

static int show_judgement(void)
{
    struct stick stick;
    char disk[NAME_BYTES] = "";

    if (!this_stick(&stick))
        return complain("the kernel's command line names no stick");
    printf("%s", verdict_name(judge_all(&stick, 0, disk)));
    printf("%s%s\n", *disk ? " " : "", disk);
    return 0;
}

int main(int count, char **words)
{
    if (count > 2 && !strcmp(words[1], "--below")) {
        below = words[2];
        words += 2;
        count -= 2;
    }
    if (count >= 4 && !strcmp(words[1], "map"))
        return map(words[2], words[3], count > 4);
    if (count == 3 && !strcmp(words[1], "resize"))
        return resize(words[2]);
    if (count == 3 && !strcmp(words[1], "mark"))
        return make_mark(words[2]) ? 0 : complain("the stick cannot be marked");
    if (count == 2 && !strcmp(words[1], "judge"))
        return show_judgement();
    if (count == 2 && !strcmp(words[1], "keep")) {
        words[0][0] = '@';
        return keep();
    }
    return complain("it is told nothing that it knows; see main.c");
}
