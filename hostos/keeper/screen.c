/* A virtual terminal of our own (linux/vt.h, linux/kd.h): the words are drawn by the kernel, on top of whatever had the
 * screen. It looks like the console's pages (hostos/programs/soulpad_console). */
#include <fcntl.h>
#include <linux/kd.h>
#include <linux/vt.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "keeper.h"

enum { OUR_TERMINAL = 8, WIDTH = 66, PATIENCE_STEPS = 75, STEP_MICROSECONDS = 20000 };

static int ours = -1;
static int before = 1;

static int active_terminal(void)
{
    struct vt_stat state;

    return ours >= 0 && !ioctl(ours, VT_GETSTATE, &state) ? state.v_active : 0;
}

/* Whoever has the screen is asked to let go of it, and may take a moment. */
static bool switch_to(int terminal)
{
    ioctl(ours, VT_ACTIVATE, terminal);
    for (int step = 0; step < PATIENCE_STEPS && active_terminal() != terminal; step++)
        usleep(STEP_MICROSECONDS);
    return active_terminal() == terminal;
}

static void switch_by_force(int terminal)
{
    struct vt_mode automatic = {.mode = VT_AUTO};
    char path[PATH_BYTES];
    int other = open(path_of(path, "/dev/tty%d", active_terminal()), O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (other >= 0) {
        ioctl(other, VT_SETMODE, &automatic);
        ioctl(other, KDSETMODE, KD_TEXT);
        ioctl(other, KDSKBMODE, K_UNICODE);
        close(other);
    }
    switch_to(terminal);
}

/* Brings our terminal to the front. Keys do nothing there: what is typed is for nobody, and must not lead away. */
void take_screen(void)
{
    char path[PATH_BYTES];
    int now;

    if (ours < 0)
        ours = open(path_of(path, "/dev/tty%d", OUR_TERMINAL), O_RDWR | O_NOCTTY | O_CLOEXEC);
    now = active_terminal();
    if (now && now != OUR_TERMINAL)
        before = now;
    ioctl(ours, KDSETMODE, KD_TEXT);
    ioctl(ours, KDSKBMODE, K_OFF);
    if (switch_to(OUR_TERMINAL)) {
        stop_system();
        return;
    }
    stop_system(); /* first: who is killed must not start again before the stick is back */
    kill_screen_users();
    switch_by_force(OUR_TERMINAL);
}

void give_screen_back(void)
{
    switch_to(before);
}

static void put(const char *text)
{
    (void)!write(ours, text, strlen(text)); /* no screen, no words */
}

static void put_row(int row, int column, const char *left, const char *text, const char *right)
{
    char line[512];

    snprintf(line, sizeof line, "\033[%d;%dH%s%-*s%s", row, column, left, WIDTH, text, right);
    put(line);
}

/* Draws a page: title and lines, at most WIDTH wide. `lines` ends with NULL. */
void say(const char *title, const char *const *lines)
{
    struct winsize size = {.ws_row = 25, .ws_col = 80};
    char edge[3 * (WIDTH + 4) + 1] = "";
    int row, column, count = 0;

    while (lines[count])
        count++;
    ioctl(ours, TIOCGWINSZ, &size);
    row = size.ws_row > count + 6 ? (size.ws_row - count - 6) / 2 + 1 : 1;
    column = size.ws_col > WIDTH + 6 ? (size.ws_col - WIDTH - 6) / 2 + 1 : 1;
    for (int i = 0; i < WIDTH + 4; i++)
        strcat(edge, "─");
    put("\033[?25l\033[0;37;44m\033[2J");
    put_row(row, column, "┌", edge, "┐");
    put_row(row + 1, column, "│  ", "", "  │");
    put_row(row + 2, column, "│  \033[1m", title, "\033[22m  │");
    put_row(row + 3, column, "│  ", "", "  │");
    for (int i = 0; i < count; i++)
        put_row(row + 4 + i, column, "│  ", lines[i], "  │");
    put_row(row + 4 + count, column, "│  ", "", "  │");
    put_row(row + 5 + count, column, "└", edge, "┘");
}
