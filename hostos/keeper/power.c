#include <dirent.h>
#include <fcntl.h>
#include <linux/input.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "keeper.h"

/* Opens all input devices that have a power button; returns how many. */
int open_power_buttons(int *descriptors, int most)
{
    char folder[PATH_BYTES], path[PATH_BYTES];
    struct dirent *entry;
    int found = 0;
    DIR *entries = opendir(path_of(folder, "/dev/input"));

    while (entries && found < most && (entry = readdir(entries))) {
        unsigned char keys[KEY_MAX / 8 + 1] = {0};
        int device;

        if (strncmp(entry->d_name, "event", 5))
            continue;
        device = open(path_of(path, "/dev/input/%s", entry->d_name), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (device < 0)
            continue;
        ioctl(device, EVIOCGBIT(EV_KEY, sizeof keys), keys);
        if (keys[KEY_POWER / 8] & 1 << KEY_POWER % 8)
            descriptors[found++] = device;
        else
            close(device);
    }
    if (entries)
        closedir(entries);
    return found;
}

bool was_pressed(int descriptor)
{
    struct input_event event;
    bool pressed = false;

    while (read(descriptor, &event, sizeof event) == sizeof event)
        pressed = pressed || (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1);
    return pressed;
}

/* At once, and without sync(2), which would wait for the stick. */
void power_off(void)
{
    for (;;) {
        reboot(RB_POWER_OFF);
        sleep(1);
    }
}
