/* Reads the CPU's time stamp counter: it counts from power-on, so it also times what ran before the kernel
 * (SoulPad paper, section 4.1). Called from Python by ctypes. */
__attribute__((visibility("default"))) unsigned long soulpad_tsc(void)
{
    unsigned int low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return ((unsigned long)high << 32) | low;
}
