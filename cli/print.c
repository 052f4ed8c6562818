#include "cli/print.h"

#include "core/json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

fv_status fv_print_json(const fv_value *v) {
    fv_arena arena = {0};
    char *text = NULL;

    const fv_status status = fv_json_write(v, FV_JSON_INDENT, &arena, &text);
    if (status == FV_OK) puts(text);
    fv_arena_destroy(&arena);
    return status;
}

void fv_print(const char *format, ...) {
    va_list args;

    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

fv_status fv_print_end(void) {
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return FV_OK;
    return FV_FAIL(FV_ERR_IO, "cannot write to standard output: %s",
                   errno ? strerror(errno) : "write error");
}

bool fv_print_colored(const char *mode) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    if (strcmp(mode, "always") == 0) return true;
    if (strcmp(mode, "never") == 0 || (no_color && *no_color)) return false;
    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

void fv_print_message(fv_report_level level, const char *text, bool colored) {
    if (level == FV_REPORT_INFO)
        fprintf(stderr, "%s\n", text);
    else
        fprintf(stderr, "fovea: %swarning:%s %s\n", colored ? "\033[33m" : "",
                colored ? "\033[0m" : "", text);
}

void fv_print_error(const char *text, bool colored) {
    fflush(stdout);
    fprintf(stderr, "fovea: %serror:%s %s\n", colored ? "\033[31m" : "", colored ? "\033[0m" : "",
            text);
}
