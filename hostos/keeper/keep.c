#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "keeper.h"

/* A removal is heard of a little after the first request that failed by it: so long an error is taken for one. */
enum { REMOVAL_STEPS = 50, STEP_MILLISECONDS = 100, SETTLE_MILLISECONDS = 1000, RETRY_AGAIN_SECONDS = 60 };

static struct stick stick;
static uint64_t sequence;   /* of the stick's disk, while it is there */
static uint64_t newest;     /* of all disks, when the stick was last seen */
static const char *const MAPS[] = {HOST_MAP, PARCELS_MAP};

static time_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

/* Never waits for the stick itself: all of it stays in memory, and what the kernel needs on its behalf is had without
 * writing anything out (prctl(2), PR_SET_IO_FLUSHER). systemd leaves a root's process with an @ alone to the end. */
static void stand_apart(void)
{
    char path[PATH_BYTES];

    setsid();
    for (int number = 1; number < NSIG; number++)
        signal(number, number == SIGSEGV || number == SIGBUS ? SIG_DFL : SIG_IGN);
    mlockall(MCL_CURRENT | MCL_FUTURE);
    prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    write_text(path_of(path, "/proc/self/oom_score_adj"), "-1000");
}

static bool is_here(void)
{
    struct partition partition;
    struct map map;
    uint64_t newest_now = newest_disk();

    if (!look_at_map(HOST_MAP, &map) || !partition_by_number(map.major, map.minor, &partition) ||
        !is_online(partition.disk))
        return false;
    if (sequence && disk_sequence(partition.disk) != sequence)
        return false;
    sequence = disk_sequence(partition.disk);
    newest = newest_now;
    return true;
}

/* A request failed and the stick is still there after a while: that was an error like any other. It is tried once more,
 * then those who asked are told. */
static void deal_with_errors(void)
{
    static time_t tried_at[2];
    struct map map;

    for (int i = 0; i < 2; i++) {
        if (!look_at_map(MAPS[i], &map) || !map.failed)
            continue;
        for (int step = 0; step < REMOVAL_STEPS; step++) {
            if (!is_here())
                return;
            wait_for_news(STEP_MILLISECONDS);
        }
        if (!tried_at[i] || now() - tried_at[i] > RETRY_AGAIN_SECONDS) {
            tried_at[i] = now();
            try_again(MAPS[i], &map);
        } else {
            give_up(MAPS[i], &map);
        }
    }
}

static bool store_is_open(void)
{
    struct map map;

    return look_at_map(PARCELS_MAP, &map) && map.opened;
}

/* Others find the stick by these (soulpad/session/thispc.py, protect-disk). */
static void tell_names(const char *disk, const char *host)
{
    char path[PATH_BYTES];

    replace_text(path_of(path, "/run/soulpad/stick-disk"), disk);
    replace_text(path_of(path, "/run/soulpad/host-device"), host);
}

static bool repoint(const char *map, const struct partition *partition, bool read_only)
{
    struct map was;

    if (!look_at_map(map, &was))
        return true; /* it was never made: nobody uses it */
    return partition->size_sectors >= was.sectors && repoint_map(map, partition, was.sectors, read_only);
}

static bool come_back(const char *disk)
{
    struct partition host, parcels;

    if (!partition_by_gpt_name(disk, stick.host, &host) || !partition_by_gpt_name(disk, stick.parcels, &parcels))
        return false;
    tell_names(disk, host.name);
    return repoint(PARCELS_MAP, &parcels, false) && repoint(HOST_MAP, &host, true);
}

/* OURS once the stick is there and in use again; else what is there instead. */
static enum verdict look_for_stick(void)
{
    char disk[NAME_BYTES];
    enum verdict found = judge_all(&stick, newest, disk);

    if (found == FORGETFUL && !store_is_open())
        found = OURS; /* what was never written to cannot be forgotten */
    return found == OURS && !come_back(disk) ? ANOTHER : found;
}

static void report_verdict(enum verdict verdict)
{
    char reason[64];

    snprintf(reason, sizeof reason, "\"reason\": \"%s\"", verdict_name(verdict));
    if (verdict == NONE)
        report("stick-gone", "");
    else
        report("stick-foreign", reason);
}

static void wait_for_return(void)
{
    enum verdict said = NONE, seen = NONE, found;

    say_verdict(NONE);
    while ((found = look_for_stick()) != OURS) {
        if (found == seen && found != said) { /* twice the same: not a disk that is only being looked at */
            said = found;
            say_verdict(said);
            report_verdict(said);
        }
        seen = found;
        wait_for_news(found == said ? -1 : SETTLE_MILLISECONDS);
    }
}

/* The session stands still first of all. When it is over there is nothing to come back to. */
static void be_without_stick(void)
{
    char path[PATH_BYTES], seconds[64];
    time_t since = now();

    stop_session();
    report("stick-gone", "");
    if (!access(path_of(path, "/run/soulpad/over"), F_OK) && !store_is_open())
        power_off();
    tell_names("none", "none");
    watch_power_buttons();
    take_screen();
    wait_for_return();
    leave_power_buttons();
    sequence = 0;
    let_system_go_on(); /* first: who had the screen takes it back itself */
    give_screen_back();
    let_session_go_on();
    snprintf(seconds, sizeof seconds, "\"seconds\": %ld", (long)(now() - since));
    report("stick-back", seconds);
}

/* Runs until the PC is off. */
int keep(void)
{
    if (!this_stick(&stick))
        return 1;
    stand_apart();
    listen_for_news();
    for (;;) {
        if (is_here()) {
            deal_with_errors();
            wait_for_news(-1);
        } else {
            be_without_stick();
        }
    }
}
