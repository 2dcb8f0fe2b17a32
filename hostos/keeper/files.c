#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keeper.h"

const char *below = "";

char *path_of(char path[PATH_BYTES], const char *format, ...)
{
    va_list values;
    int used = snprintf(path, PATH_BYTES, "%s", below);

    va_start(values, format);
    vsnprintf(path + used, PATH_BYTES - used, format, values);
    va_end(values);
    return path;
}

bool read_text(const char *path, char text[TEXT_BYTES])
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (file < 0)
        return false;
    got = read(file, text, TEXT_BYTES - 1);
    close(file);
    if (got < 0)
        return false;
    text[got] = '\0';
    return true;
}

bool read_number(const char *path, uint64_t *number)
{
    char text[TEXT_BYTES], *end;

    if (!read_text(path, text))
        return false;
    *number = strtoull(text, &end, 10);
    return end != text;
}

bool write_text(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written;

    if (file < 0)
        return false;
    written = write(file, text, strlen(text)) == (ssize_t)strlen(text);
    close(file);
    return written;
}

bool replace_text(const char *path, const char *text)
{
    char staged[PATH_BYTES];

    snprintf(staged, sizeof staged, "%s.new", path);
    return write_text(staged, text) && rename(staged, path) == 0;
}
