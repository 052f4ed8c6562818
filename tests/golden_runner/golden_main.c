/* fovea-golden FILE... - runs everything in golden files and prints a line per case. */
#include "core/alloc.h"
#include "tests/golden_runner/golden.h"

#include <stdio.h>
#include <string.h>

#define FV_X(name) extern const golden_kind golden_kind_##name;
GOLDEN_KIND_LIST(FV_X)
#undef FV_X

static const golden_kind *const kinds[] = {
#define FV_X(name) &golden_kind_##name,
    GOLDEN_KIND_LIST(FV_X)
#undef FV_X
};

static const golden_kind *find_kind(const char *stem) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i]->exact ? strcmp(stem, kinds[i]->prefix) == 0
                            : strncmp(stem, kinds[i]->prefix, strlen(kinds[i]->prefix)) == 0)
            return kinds[i];
    return NULL;
}

/* Tensors that no case knew: a renamed or added one must not pass unseen. */
static void check_used(golden *g) {
    for (int64_t i = 0; i < fv_safetensors_count(g->file); i++)
        if (!g->used[i]) golden_fail(g, fv_safetensors_at(g->file, i)->name, "no case uses it");
}

static void run_open(golden *g) {
    const golden_kind *kind = find_kind(g->stem);

    if (!kind) { /* a kind of file of which nothing is covered */
        printf("%-64s %12s %10s %s\n", g->stem, "-", "-", "skip");
        g->counts.skipped++;
        return;
    }
    kind->run(g);
    check_used(g);
}

static void run_file(const char *path, golden_counts *total) {
    const char *slash = strrchr(path, '/');
    golden g = {.path = path};
    char stem[256];

    snprintf(stem, sizeof stem, "%s", slash ? slash + 1 : path);
    char *dot = strstr(stem, ".safetensors");
    if (dot) *dot = '\0';
    g.stem = stem;
    if (fv_safetensors_open(path, &g.file) == FV_OK)
        g.used = fv_calloc((size_t)fv_safetensors_count(g.file) + 1, sizeof *g.used);
    if (g.used) {
        run_open(&g);
    } else {
        printf("%-64s %12s %10s FAIL\n    %s\n", stem, "-", "-", fv_error_message());
        g.counts.failed++;
    }
    total->passed += g.counts.passed;
    total->failed += g.counts.failed;
    total->skipped += g.counts.skipped;
    fv_free(g.used);
    fv_safetensors_close(g.file);
    fv_arena_destroy(&g.arena);
}

int main(int argc, char **argv) {
    golden_counts total = {0};

    if (argc < 2) {
        fprintf(stderr, "usage: fovea-golden FILE.safetensors...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) run_file(argv[i], &total);
    printf("%d passed, %d failed, %d skipped\n", total.passed, total.failed, total.skipped);
    return total.failed > 0;
}
