/* What the kernel tells: uevents, by a netlink socket. They only wake us: what is the case is read from sysfs and from
 * device-mapper, so one that got lost in a crowd is not missed. */
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper.h"

enum { KERNEL_GROUP = 1, MOST_BUTTONS = 8, RECEIVED_BYTES = 8192, BUFFER_BYTES = 1 << 20 };

static int uevents = -1;
static int buttons[MOST_BUTTONS];
static int button_count;

void listen_for_news(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
    int bytes = BUFFER_BYTES;

    uevents = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    setsockopt(uevents, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    bind(uevents, (struct sockaddr *)&address, sizeof address);
}

/* While nobody else can: logind waits for the stick like everybody. */
void watch_power_buttons(void)
{
    button_count = open_power_buttons(buttons, MOST_BUTTONS);
}

void leave_power_buttons(void)
{
    while (button_count)
        close(buttons[--button_count]);
}

/* Waits for something to look at, or until the time is up (-1: for ever). A watched power button powers off. */
void wait_for_news(int milliseconds)
{
    struct pollfd polled[1 + MOST_BUTTONS] = {{.fd = uevents, .events = POLLIN}};
    char received[RECEIVED_BYTES];

    for (int i = 0; i < button_count; i++)
        polled[1 + i] = (struct pollfd){.fd = buttons[i], .events = POLLIN};
    poll(polled, 1 + (unsigned)button_count, milliseconds);
    while (recv(uevents, received, sizeof received, MSG_DONTWAIT) > 0)
        ;
    for (int i = 0; i < button_count; i++)
        if (polled[1 + i].revents & POLLIN && was_pressed(buttons[i])) {
            report("stick-given-up", "");
            power_off();
        }
}
