#include "tests/fuzz/fuzz.h"

#include "core/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void fuzz_broken(const char *property, const char *file, int line) {
    fprintf(stderr, "%s:%d: does not hold: %s\n  last message: %s\n", file, line, property,
            fv_error_message());
    abort();
}

void fuzz_require_failure(fv_status status, fv_status kind, fv_status other) {
    FUZZ_REQUIRE(status != FV_OK);
    if (status != kind && status != other)
        fuzz_broken(fv_status_text(status), "unexpected status", (int)status);
    FUZZ_REQUIRE(fv_error_message()[0]);
    for (const char *p = fv_error_message(); *p; p++)
        FUZZ_REQUIRE((unsigned char)*p >= ' ' && *p != 0x7f);
}

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : !a && !b;
}

bool fuzz_same_value(const fv_value *a, const fv_value *b) {
    if (a->kind != b->kind || a->count != b->count || !same_text(a->key, b->key)) return false;
    switch (a->kind) {
    case FV_VALUE_BOOL:
    case FV_VALUE_INT:
        return a->integer == b->integer;
    case FV_VALUE_REAL:
        return (isnan(a->real) && isnan(b->real)) ||
               memcmp(&a->real, &b->real, sizeof a->real) == 0;
    case FV_VALUE_STRING:
        return same_text(a->text, b->text);
    default:
        break;
    }
    const fv_value *x = a->first, *y = b->first;
    for (; x && y; x = x->next, y = y->next)
        if (!fuzz_same_value(x, y)) return false;
    return !x && !y;
}

static char folder[] = "/tmp/fovea_fuzz_XXXXXX";
static bool made;

static void remove_folder(void) { fv_folder_remove(folder); }

const char *fuzz_folder(void) {
    if (!made) {
        FUZZ_REQUIRE(mkdtemp(folder));
        made = true;
        atexit(remove_folder);
    }
    return folder;
}

/* No fv_file_write: its fsync is slow and has nothing to do with what is fuzzed. */
void fuzz_write(const char *name, const void *bytes, size_t n_bytes) {
    char path[512];

    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    char *slash = strrchr(path, '/');
    *slash = 0;
    FUZZ_REQUIRE(fv_folder_create(path) == FV_OK);
    *slash = '/';
    FILE *file = fopen(path, "wb");
    FUZZ_REQUIRE(file);
    FUZZ_REQUIRE(fwrite(bytes, 1, n_bytes, file) == n_bytes);
    FUZZ_REQUIRE(fclose(file) == 0);
}
