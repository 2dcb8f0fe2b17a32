#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "keeper.h"

enum { MAGIC_BYTES = 8, VERSION_OFFSET = 8, NONCE_OFFSET = 16, NONCE_BYTES = 16 };
static const char MAGIC[MAGIC_BYTES + 1] = "SOULMARK";
static const char MARK_FILE[] = "/run/soulpad/mark";

static void draw(unsigned char mark[MARK_BYTES])
{
    struct timespec now;
    unsigned char *nonce = mark + NONCE_OFFSET;

    memset(mark, 0, MARK_BYTES);
    memcpy(mark, MAGIC, MAGIC_BYTES);
    mark[VERSION_OFFSET] = 1;
    /* It need not be secret, only never the same twice: so nobody waits for entropy here, and the time is mixed in. */
    if (getrandom(nonce, NONCE_BYTES, GRND_INSECURE) != NONCE_BYTES)
        memset(nonce, 0, NONCE_BYTES);
    clock_gettime(CLOCK_REALTIME, &now);
    for (size_t i = 0; i < sizeof now.tv_sec; i++)
        nonce[i] ^= (unsigned char)(now.tv_sec >> 8 * i);
    for (size_t i = 0; i < 4; i++)
        nonce[8 + i] ^= (unsigned char)(now.tv_nsec >> 8 * i);
}

/* Where the mark lies in its partition, whose size must be known. */
static off_t mark_offset(int partition)
{
    off_t end = lseek(partition, 0, SEEK_END);

    return end < MARK_BYTES ? -1 : end - MARK_BYTES;
}

static bool put_mark(const char *partition, const unsigned char mark[MARK_BYTES])
{
    char path[PATH_BYTES];
    int file = open(path_of(path, "/dev/%s", partition), O_WRONLY | O_CLOEXEC);
    off_t offset;
    bool durable;

    if (file < 0)
        return false;
    offset = mark_offset(file);
    durable = offset >= 0 && pwrite(file, mark, MARK_BYTES, offset) == MARK_BYTES && !fsync(file);
    close(file);
    return durable;
}

/* Writes a new mark to the stick and, once it is durable, to a file in memory; without that file no stick is ours. */
bool make_mark(const char *partition)
{
    unsigned char mark[MARK_BYTES];
    char path[PATH_BYTES];
    bool kept;
    int file;

    draw(mark);
    if (!put_mark(partition, mark))
        return false;
    file = open(path_of(path, MARK_FILE), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    kept = file >= 0 && write(file, mark, MARK_BYTES) == MARK_BYTES;
    if (file >= 0)
        close(file);
    return kept;
}

bool mark_is_ours(const char *partition)
{
    unsigned char kept[MARK_BYTES], found[MARK_BYTES];
    char path[PATH_BYTES];
    int file = open(path_of(path, MARK_FILE), O_RDONLY | O_CLOEXEC);
    bool same;

    same = file >= 0 && read(file, kept, MARK_BYTES) == MARK_BYTES;
    if (file >= 0)
        close(file);
    file = open(path_of(path, "/dev/%s", partition), O_RDONLY | O_CLOEXEC);
    same = same && file >= 0 && pread(file, found, MARK_BYTES, mark_offset(file)) == MARK_BYTES;
    if (file >= 0)
        close(file);
    return same && !memcmp(kept, found, MARK_BYTES);
}
