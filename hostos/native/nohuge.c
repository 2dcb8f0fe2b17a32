/* Drops one advice of QEMU: MADV_HUGEPAGE on guest RAM.
 *
 * With it every first touch of a guest page reads 2 to 4 MB from the stick and every dirtied page makes as much be
 * written; neither "never" in /sys/kernel/mm/transparent_hugepage nor prctl(PR_SET_THP_DISABLE) keeps file mappings
 * from it. Loaded into QEMU alone, by LD_PRELOAD. Needs no libc, so any compiler's result runs on the host.
 */
#define MADV_HUGEPAGE 14
#define SYS_MADVISE 28

__attribute__((visibility("default"))) int madvise(void *address, unsigned long length, int advice)
{
    long result;

    if (advice == MADV_HUGEPAGE)
        return 0;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(SYS_MADVISE), "D"(address), "S"(length), "d"((long)advice)
                     : "rcx", "r11", "memory");
    return result < 0 ? -1 : 0;
}
