/* The keeper: lets a session outlive a stick that was pulled out. See docs/architecture.md, "When the stick is pulled
 * out". Nothing in here may need the stick: it is one static program in memory, and reads only what the kernel makes up
 * (/proc, /sys, /dev, /run). `below` is put before those paths: empty, but for tests. */
#ifndef KEEPER_H
#define KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NAME_BYTES = 80, PATH_BYTES = 256, TEXT_BYTES = 4096, MARK_BYTES = 4096 };

extern const char *below;

/* files.c: small files, whole. All of them return false and set nothing when the file cannot be had. */
char *path_of(char path[PATH_BYTES], const char *format, ...) __attribute__((format(printf, 2, 3)));
bool read_text(const char *path, char text[TEXT_BYTES]);
bool read_number(const char *path, uint64_t *number);
bool write_text(const char *path, const char *text);
bool replace_text(const char *path, const char *text);

/* disks.c: partitions as sysfs shows them. */
struct partition {
    char name[NAME_BYTES]; /* such as sdb5 */
    char disk[NAME_BYTES]; /* such as sdb */
    unsigned major, minor;
    uint64_t start_sectors, size_sectors; /* of 512 bytes */
};
bool partition_by_number(unsigned major, unsigned minor, struct partition *found);
bool partition_by_gpt_name(const char *disk, const char *gpt_name, struct partition *found);
bool is_online(const char *disk);
bool forgets_without_power(const char *disk);
uint64_t newest_disk(void);
uint64_t disk_sequence(const char *disk);
bool next_disk(void **folder, char disk[NAME_BYTES]);

/* mark.c: the boot mark (docs/formats/stick.md). */
bool make_mark(const char *partition);
bool mark_is_ours(const char *partition);

/* judge.c: whose disk is it that was put in? */
enum verdict { NONE, ANOTHER, USED_ELSEWHERE, FORGETFUL, OURS };
struct stick {
    char host[NAME_BYTES], parcels[NAME_BYTES], bios[NAME_BYTES]; /* GPT names */
};
bool this_stick(struct stick *stick);
enum verdict judge(const struct stick *stick, const char *disk);
enum verdict judge_all(const struct stick *stick, uint64_t newer_than, char disk[NAME_BYTES]);
const char *verdict_name(enum verdict verdict);

/* maps.c: the device-mapper targets that lie between the stick and its users. */
extern const char HOST_MAP[], PARCELS_MAP[];
struct map {
    unsigned major, minor; /* of the partition below */
    uint64_t sectors;
    bool failed; /* an answer of the partition was an error; until it is reinstated all waits */
    unsigned opened;
};
int make_map(const char *map, const struct partition *partition, bool read_only);
bool look_at_map(const char *map, struct map *found);
bool repoint_map(const char *map, const struct partition *partition, uint64_t sectors, bool read_only);
bool try_again(const char *map, const struct map *seen);
bool give_up(const char *map, const struct map *seen);

/* stillness.c: who stands still while the stick is out. */
void stop_session(void);
void stop_system(void);
void let_system_go_on(void);
void let_session_go_on(void);
void kill_screen_users(void);

/* screen.c */
void take_screen(void);
void say(const char *title, const char *const *lines);
void give_screen_back(void);

/* pages.c */
void say_verdict(enum verdict verdict);

/* news.c */
void listen_for_news(void);
void watch_power_buttons(void);
void leave_power_buttons(void);
void wait_for_news(int milliseconds);

/* power.c */
int open_power_buttons(int *descriptors, int most);
bool was_pressed(int descriptor);
void power_off(void) __attribute__((noreturn));

/* report.c */
void report(const char *event, const char *more_fields);

/* keep.c */
int keep(void);

#endif
