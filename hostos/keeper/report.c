#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "keeper.h"

static void tell(const char *device, const char *line)
{
    char path[PATH_BYTES];
    int file = open(path_of(path, "/dev/%s", device), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (file < 0)
        return;
    (void)!write(file, line, strlen(line)); /* nobody may be listening */
    close(file);
}

/* One line, as soulpad/session/report.py writes them. `more_fields`: JSON behind the first two, or an empty text. */
void report(const char *event, const char *more_fields)
{
    char path[PATH_BYTES], text[TEXT_BYTES], line[512], *word, *rest = text, uptime[32] = "0";

    if (read_text(path_of(path, "/proc/uptime"), text))
        snprintf(uptime, sizeof uptime, "%.*s", (int)strcspn(text, " "), text);
    snprintf(line, sizeof line, "\nSOULPAD {\"event\": \"%s\", \"uptime\": %s%s%s}\n", event, uptime,
             *more_fields ? ", " : "", more_fields);
    tell("kmsg", line + 1);
    if (!read_text(path_of(path, "/proc/cmdline"), text))
        return;
    while ((word = strsep(&rest, " \n")))
        if (!strncmp(word, "soulpad.report=", 15))
            tell(word + 15, line);
}
