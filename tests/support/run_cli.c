#include "tests/support/run_cli.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

char cli_out[CLI_TEXT], cli_err[CLI_TEXT];

static char folder[64];
static fv_arena arena;

void cli_enter(void) {
    strcpy(folder, "/tmp/fovea_cli_XXXXXX");
    if (!mkdtemp(folder)) abort();
}

void cli_leave(void) {
    fv_arena_destroy(&arena);
    fv_folder_remove(folder);
}

const char *cli_path(const char *name) {
    static char texts[8][256];
    static int next;
    char *text = texts[next++ % 8];

    snprintf(text, sizeof texts[0], "%s/%s", folder, name);
    return text;
}

static void slurp(const char *name, char *text) {
    FILE *file = fopen(cli_path(name), "rb");
    size_t n = file ? fread(text, 1, CLI_TEXT - 1, file) : 0;

    text[n] = '\0';
    if (file) fclose(file);
}

int cli_run_program(const char *program, const char *format, ...) {
    char line[4096];
    va_list args;

    int n = snprintf(line, sizeof line, "%s ", program);
    va_start(args, format);
    n += vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof line - 512) abort();
    snprintf(line + n, sizeof line - (size_t)n, " >%s/stdout 2>%s/stderr", folder, folder);
    const int status = system(line);
    slurp("stdout", cli_out);
    slurp("stderr", cli_err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool cli_one_error(const char *part) {
    const char *start = "fovea: error: ", *end = strchr(cli_err, '\n');

    return !*cli_out && strncmp(cli_err, start, strlen(start)) == 0 && end && !end[1] &&
           strstr(cli_err, part);
}

const fv_value *cli_json(void) {
    fv_value *value = NULL;

    fv_arena_destroy(&arena);
    if (fv_json_parse(cli_out, strlen(cli_out), "stdout", &arena, &value) != FV_OK) return NULL;
    return value;
}

const char *cli_write(const char *name, const void *bytes, size_t n_bytes) {
    const char *path = cli_path(name);
    FILE *file = fopen(path, "wb");

    if (!file || fwrite(bytes, 1, n_bytes, file) != n_bytes || fclose(file) != 0) abort();
    return path;
}
