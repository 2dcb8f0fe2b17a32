/* Control groups (cgroup-v2: cgroup.freeze, cgroup.kill). Before systemd made them there is nobody to stop. */
#include "keeper.h"

static void set(const char *group, const char *file, const char *value)
{
    char path[PATH_BYTES], now[TEXT_BYTES];

    path_of(path, "/sys/fs/cgroup/%s/%s", group, file);
    if (read_text(path_of(now, "/sys/fs/cgroup/%s/cgroup.procs", group), now))
        write_text(path, value);
}

/* The virtual machine and its session. */
void stop_session(void)
{
    set("soulpad.slice", "cgroup.freeze", "1");
}

/* Everything else that systemd started: it would only wait for the stick, and might change what is on the screen. */
void stop_system(void)
{
    set("system.slice", "cgroup.freeze", "1");
}

void let_system_go_on(void)
{
    set("system.slice", "cgroup.freeze", "0");
}

void let_session_go_on(void)
{
    set("soulpad.slice", "cgroup.freeze", "0");
}

/* Who has the screen and does not let go of it, perhaps because it waits for the stick itself; systemd starts them again
 * once it may. */
void kill_screen_users(void)
{
    set("system.slice/soulpad-viewer.service", "cgroup.kill", "1");
    set("system.slice/seatd.service", "cgroup.kill", "1");
}
