#include "tests/support/run_files.h"

#include "core/alloc.h"
#include "core/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char text[4096];

static bool ends_with(const char *s, const char *end) {
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Columns of a table in front of the first one called time_*. */
static int columns_before_times(const char *data) {
    const char *times = strstr(data, ",time_");
    int n = 0;
    for (const char *p = data; times && p <= times; p++) n += *p == ',';
    return n;
}

/* Blanks the times at the end of each line, by the names of columns and keys. */
static void blank_times(const char *name, char *data) {
    const int kept = columns_before_times(data);

    for (char *line = data; line && *line;) {
        char *end = strchr(line, '\n'), *from = NULL;
        if (end) *end = '\0';
        if (ends_with(name, "log.jsonl")) from = strstr(line, "\"time_s\"");
        if (ends_with(name, "summary.csv")) {
            from = line;
            for (int commas = 0; from && commas < kept; commas++)
                if ((from = strchr(from, ','))) from++;
        }
        for (; from && *from; from++) *from = '.';
        if (end) *end = '\n';
        line = end ? end + 1 : NULL;
    }
}

static const char *compare_files(const char *a, const char *b) {
    uint8_t *bytes[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    const char *result = NULL;

    if (fv_file_read(a, (size_t)1 << 30, &bytes[0], &n[0]) != FV_OK ||
        fv_file_read(b, (size_t)1 << 30, &bytes[1], &n[1]) != FV_OK) {
        snprintf(text, sizeof text, "%s", fv_error_message());
        result = text;
    } else {
        for (int i = 0; i < 2; i++) blank_times(a, (char *)bytes[i]);
        if (n[0] != n[1] || memcmp(bytes[0], bytes[1], n[0]) != 0) {
            snprintf(text, sizeof text, "%s and %s differ", a, b);
            result = text;
        }
    }
    fv_free(bytes[0]);
    fv_free(bytes[1]);
    return result;
}

static const char *compare_links(const char *a, const char *b) {
    char to[2][256] = {{0}};

    if (readlink(a, to[0], 255) < 0 || readlink(b, to[1], 255) < 0 || strcmp(to[0], to[1]) != 0) {
        snprintf(text, sizeof text, "%s -> %s, %s -> %s", a, to[0], b, to[1]);
        return text;
    }
    return NULL;
}

/* checkpoint-E-S */
static bool is_step(const char *name) {
    int epoch, step, n = 0;
    return sscanf(name, "checkpoint-%d-%d%n", &epoch, &step, &n) == 2 && !name[n];
}

static const char *compare_folders(const char *a, const char *b, bool extra);

static const char *compare_any(const char *a, const char *b) {
    struct stat info;

    if (lstat(a, &info) == 0 && S_ISLNK(info.st_mode)) return compare_links(a, b);
    return fv_folder_exists(a) ? compare_folders(a, b, false) : compare_files(a, b);
}

static const char *compare_folders(const char *a, const char *b, bool extra) {
    fv_names names[2] = {{0}};
    const char *result = NULL;
    char pa[1024], pb[1024];

    if (fv_folder_list(a, &names[0]) != FV_OK || fv_folder_list(b, &names[1]) != FV_OK) {
        snprintf(text, sizeof text, "%s", fv_error_message());
        result = text;
    }
    for (int64_t i = 0; i < names[0].count && !result; i++) {
        snprintf(pa, sizeof pa, "%.500s/%.500s", a, names[0].name[i]);
        snprintf(pb, sizeof pb, "%.500s/%.500s", b, names[0].name[i]);
        result = compare_any(pa, pb);
    }
    for (int64_t i = 0; i < names[1].count && !result; i++) {
        bool there = extra && is_step(names[1].name[i]);
        for (int64_t k = 0; k < names[0].count; k++)
            there |= strcmp(names[0].name[k], names[1].name[i]) == 0;
        if (there) continue;
        snprintf(text, sizeof text, "%s/%s should not be there", b, names[1].name[i]);
        result = text;
    }
    fv_names_free(&names[0]);
    fv_names_free(&names[1]);
    return result;
}

const char *run_difference(const char *expected, const char *actual, bool extra) {
    return compare_folders(expected, actual, extra);
}

const char *run_file_difference(const char *expected, const char *actual) {
    return compare_files(expected, actual);
}

void run_copy(const char *from, const char *to) {
    char command[1024];
    snprintf(command, sizeof command, "cp -a '%s' '%s'", from, to);
    if (system(command) != 0) abort();
}

void run_remove(const char *folder) { fv_folder_remove(folder); }
