/* fuzz_replay.c - runs a fuzz target over files, or over the files of folders: with any compiler.
 *
 *     fovea-fuzz-replay TARGET FILE|FOLDER...
 */
#include "core/alloc.h"
#include "core/file.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

#define INPUT_MOST ((size_t)16 << 20)

typedef struct target {
    const char *name, *what;
    void (*run)(const uint8_t *bytes, size_t n_bytes);
} target;

static const target targets[] = {
#define FV_X(name, what) {#name, what, fuzz_##name},
    FV_FUZZ_LIST(FV_X)
#undef FV_X
};

#define N_TARGETS (sizeof targets / sizeof *targets)

/* The input is copied to a block of its own size, so that reading past its end is seen. */
static int replay_file(const target *t, const char *path) {
    uint8_t *bytes = NULL, *exact = NULL;
    size_t n_bytes = 0;

    if (fv_file_read(path, INPUT_MOST, &bytes, &n_bytes) != FV_OK ||
        !(exact = fv_alloc(n_bytes, 1))) {
        fprintf(stderr, "%s\n", fv_error_message());
        fv_free(bytes);
        return -1;
    }
    memcpy(exact, bytes, n_bytes);
    fv_free(bytes);
    fprintf(stderr, "%s: %s\n", t->name, path); /* names the culprit of a crash */
    t->run(exact, n_bytes);
    fv_free(exact);
    return 1;
}

/* Returns the number of inputs, -1 on failure. */
static int replay(const target *t, const char *path) {
    fv_names names = {0};
    int count = 0;

    if (!fv_folder_exists(path)) return replay_file(t, path);
    if (fv_folder_list(path, &names) != FV_OK) {
        fprintf(stderr, "%s\n", fv_error_message());
        return -1;
    }
    for (int64_t i = 0; i < names.count && count >= 0; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, names.name[i]);
        count = replay_file(t, file) < 0 ? -1 : count + 1;
    }
    fv_names_free(&names);
    return count;
}

int main(int argc, char **argv) {
    const target *t = NULL;
    int count = 0;

    for (size_t i = 0; argc > 1 && i < N_TARGETS; i++)
        if (strcmp(targets[i].name, argv[1]) == 0) t = &targets[i];
    if (!t || argc < 3) {
        fprintf(stderr, "usage: fovea-fuzz-replay TARGET FILE|FOLDER...\n");
        for (size_t i = 0; i < N_TARGETS; i++)
            fprintf(stderr, "  %-14s %s\n", targets[i].name, targets[i].what);
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        const int more = replay(t, argv[i]);
        if (more < 0) return 1;
        count += more;
    }
    printf("%s: %d inputs\n", t->name, count);
    return count > 0 ? 0 : 1;
}
