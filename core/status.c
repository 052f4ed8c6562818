#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_BYTES 1024

static _Thread_local char message[MESSAGE_BYTES];
static _Thread_local char where[128];

/* Names and values from files end up in messages: they must not break lines or drive a terminal. */
static void make_printable(char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f) *s = '?';
}

fv_status fv_error_set(fv_status code, const char *file, int line, const char *format, ...) {
    const char *base = strrchr(file, '/');
    va_list args;

    snprintf(where, sizeof where, "%s:%d", base ? base + 1 : file, line);
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    make_printable(message);
    return code;
}

fv_status fv_error_context(fv_status code, const char *format, ...) {
    char inner[MESSAGE_BYTES];
    va_list args;

    memcpy(inner, message, sizeof inner);
    va_start(args, format);
    int n = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (n < 0) n = 0;
    make_printable(message);
    if (n >= MESSAGE_BYTES) return code;
    const int m = snprintf(message + n, sizeof message - (size_t)n, ": %s", inner);
    if (m < 0) message[n] = '\0'; /* the message may be cut short, it cannot be lost */
    return code;
}

const char *fv_error_message(void) { return message; }

const char *fv_error_where(void) { return where; }

void fv_error_clear(void) { message[0] = where[0] = '\0'; }

const char *fv_status_text(fv_status code) {
    static const char *const texts[] = {"ok",
#define FV_X(name, text) text,
                                        FV_STATUS_LIST(FV_X)
#undef FV_X
    };
    return (size_t)code < sizeof texts / sizeof *texts ? texts[code] : "unknown status";
}
