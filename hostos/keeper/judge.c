#include <stdio.h>
#include <string.h>

#include "keeper.h"

/* What follows `soulpad.host=` on the kernel's command line names the partition that this host runs from; the stick's id
 * is the last part of it, as of all its partitions' names (docs/formats/stick.md). */
static bool names(struct stick *stick)
{
    char path[PATH_BYTES], text[TEXT_BYTES], *word, *id, *rest = text;

    if (!read_text(path_of(path, "/proc/cmdline"), text))
        return false;
    while ((word = strsep(&rest, " \n")))
        if (!strncmp(word, "soulpad.host=", 13))
            snprintf(stick->host, NAME_BYTES, "%s", word + 13);
    id = strrchr(stick->host, '-');
    if (!id)
        return false;
    snprintf(stick->parcels, NAME_BYTES, "soulpad-parcels%.16s", id);
    snprintf(stick->bios, NAME_BYTES, "soulpad-bios%.16s", id);
    return true;
}

/* What is known of the stick that this host runs from. */
bool this_stick(struct stick *stick)
{
    memset(stick, 0, sizeof *stick);
    return names(stick);
}

/* What `disk` is to this session. Only an OURS may be written to: it has our partitions, nobody started from it or
 * wrote it anew meanwhile, and it did not forget what it had answered for. */
enum verdict judge(const struct stick *stick, const char *disk)
{
    struct partition host, parcels, bios;

    if (!partition_by_gpt_name(disk, stick->host, &host) || !partition_by_gpt_name(disk, stick->parcels, &parcels) ||
        !partition_by_gpt_name(disk, stick->bios, &bios))
        return ANOTHER;
    if (!mark_is_ours(bios.name))
        return USED_ELSEWHERE;
    return forgets_without_power(disk) ? FORGETFUL : OURS;
}

/* A card reader without a card is a disk without a size. */
static bool is_there(const char *disk)
{
    char path[PATH_BYTES];
    uint64_t sectors;

    return read_number(path_of(path, "/sys/block/%s/size", disk), &sectors) && sectors && is_online(disk);
}

/* The best verdict on all disks that came after `newer_than`, and which disk it is about. */
enum verdict judge_all(const struct stick *stick, uint64_t newer_than, char disk[NAME_BYTES])
{
    char candidate[NAME_BYTES];
    void *folder = NULL;
    enum verdict best = NONE, found;

    while (next_disk(&folder, candidate)) {
        if (disk_sequence(candidate) <= newer_than || !is_there(candidate))
            continue;
        found = judge(stick, candidate);
        if (found > best) {
            best = found;
            snprintf(disk, NAME_BYTES, "%s", candidate);
        }
    }
    return best;
}

const char *verdict_name(enum verdict verdict)
{
    static const char *const words[] = {"none", "another", "used-elsewhere", "forgetful", "ours"};

    return words[verdict];
}
