/* The golden runner must fail on a file that is wrong in one place only. */
#include "core/file.h"
#include "core/safetensors.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GOLDEN FOVEA_SOURCE_DIR "/tests/golden/"

typedef enum damage { NONE, SHIFT, DELETE, RENAME } damage;

/* Writes a copy of a golden file with one tensor damaged. */
static void write_copy(const char *name, const char *tensor, damage kind, double shift,
                       const char *path) {
    fv_safetensors *st = NULL;
    fv_arena arena = {0};
    char source[512];

    snprintf(source, sizeof source, GOLDEN "%s", name);
    cr_assert_eq(fv_safetensors_open(source, &st), FV_OK, "%s", fv_error_message());
    const int64_t n = fv_safetensors_count(st);
    fv_safetensors_item *items = fv_arena_calloc(&arena, (size_t)n, sizeof *items);
    int64_t count = 0;
    bool hit = false;
    for (int64_t i = 0; i < n; i++) {
        const fv_safetensors_entry *e = fv_safetensors_at(st, i);
        const bool target = strcmp(e->name, tensor) == 0;
        fv_safetensors_item *item = &items[count];
        hit |= target;
        if (target && kind == DELETE) continue;
        item->name = target && kind == RENAME ? "elsewhere" : e->name;
        cr_assert_eq(fv_safetensors_load(st, e->name, &arena, &item->tensor), FV_OK);
        if (target && kind == SHIFT && item->tensor.dtype == FV_F32)
            ((float *)item->tensor.data)[0] += (float)shift;
        else if (target && kind == SHIFT)
            ((int32_t *)item->tensor.data)[0] += (int32_t)shift;
        count++;
    }
    cr_assert(hit, "no tensor %s", tensor);
    const fv_value *map = fv_safetensors_metadata_map(st);
    fv_safetensors_meta meta[64];
    int64_t n_meta = 0;
    for (const fv_value *v = map ? map->first : NULL; v && n_meta < 64; v = v->next)
        if (strcmp(v->key, "format") != 0) meta[n_meta++] = (fv_safetensors_meta){v->key, v->text};
    cr_assert_eq(fv_safetensors_save(path, items, count, meta, n_meta), FV_OK, "%s",
                 fv_error_message());
    fv_safetensors_close(st);
    fv_arena_destroy(&arena);
}

/* Exit code of the runner on a damaged copy; *failures is what its last line counts. */
static int run_on(const char *name, const char *tensor, damage kind, double shift, int *failures) {
    char folder[] = "/tmp/fovea-golden-XXXXXX", path[600], command[1400], line[512];
    int passed = 0, skipped = 0;

    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/%s", folder, name);
    write_copy(name, tensor, kind, shift, path);
    snprintf(command, sizeof command, "%s/fovea-golden %s", FOVEA_BINARY_DIR, path);
    FILE *out = popen(command, "r");
    cr_assert_not_null(out);
    *failures = -1;
    while (fgets(line, sizeof line, out))
        if (sscanf(line, "%d passed, %d failed, %d skipped", &passed, failures, &skipped) != 3)
            continue;
    const int status = pclose(out);
    fv_folder_remove(folder);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(cli_golden, an_untouched_copy_passes) {
    int failures;
    cr_assert_eq(run_on("model_mini_vit.safetensors", "logits", NONE, 0, &failures), 0);
    cr_assert_eq(failures, 0);
}

Test(cli_golden, a_shifted_number_fails) {
    int failures;
    cr_assert_eq(run_on("model_mini_vit.safetensors", "logits", SHIFT, 1e-2, &failures), 1);
    cr_assert_eq(failures, 1);
    cr_assert_eq(run_on("training.safetensors", "adamw/sample.head.weight", SHIFT, 1e-2, &failures),
                 1);
    cr_assert_eq(failures, 1);
    cr_assert_eq(run_on("layers.safetensors", "mha/grad.qkv.weight", SHIFT, 1e-2, &failures), 1);
    cr_assert_eq(failures, 1);
}

Test(cli_golden, a_deleted_tensor_fails) {
    int failures;
    cr_assert_eq(run_on("model_mini_vit.safetensors", "grad_norm.head.bias", DELETE, 0, &failures),
                 1);
    cr_assert_geq(failures, 1);
    cr_assert_eq(run_on("layers.safetensors", "vit_block/dx", DELETE, 0, &failures), 1);
    cr_assert_geq(failures, 1);
}

Test(cli_golden, a_renamed_tensor_fails) {
    int failures;
    cr_assert_eq(run_on("model_mini_vit.safetensors", "feature.1.std", RENAME, 0, &failures), 1);
    cr_assert_geq(failures, 2); /* one missing, one unknown */
    cr_assert_eq(run_on("training.safetensors", "loss/ce", RENAME, 0, &failures), 1);
    cr_assert_geq(failures, 2);
}

/* Another region is chosen than the stored one, or none is stored. */
Test(cli_golden, damaged_routing_fails) {
    static const char file[] = "model_mini_biformer.safetensors",
                      routing[] = "routing.stages.2.0.attn";
    int failures;
    cr_assert_eq(run_on(file, routing, NONE, 0, &failures), 0);
    cr_assert_eq(run_on(file, routing, SHIFT, 16, &failures), 1);
    cr_assert_eq(failures, 1);
    cr_assert_eq(run_on(file, routing, RENAME, 0, &failures), 1);
    cr_assert_eq(failures, 2, "one missing, one unknown");
    cr_assert_eq(run_on(file, routing, DELETE, 0, &failures), 1);
    cr_assert_eq(failures, 1);
}

/* Statistics that are loaded move every number behind them, statistics that are compared only themselves. */
Test(cli_golden, damaged_batch_norm_statistics_fail) {
    static const char eval[] = "model_mini_halonet_h1.safetensors",
                      train[] = "model_mini_halonet_h1_train.safetensors",
                      buffer[] = "buffer.stages.1.0.conv1_1x1.bn.running_var",
                      after[] = "buffer_after.stages.1.0.conv1_1x1.bn.running_mean";
    int failures;
    cr_assert_eq(run_on(eval, buffer, NONE, 0, &failures), 0);
    cr_assert_eq(run_on(eval, buffer, SHIFT, 0.1, &failures), 1);
    cr_assert_geq(failures, 2);
    cr_assert_eq(run_on(eval, buffer, DELETE, 0, &failures), 1);
    cr_assert_eq(run_on(eval, buffer, RENAME, 0, &failures), 1);
    cr_assert_geq(failures, 2);
    cr_assert_eq(run_on(train, after, NONE, 0, &failures), 0);
    cr_assert_eq(run_on(train, after, SHIFT, 1e-2, &failures), 1);
    cr_assert_eq(failures, 1);
    cr_assert_eq(run_on(train, after, DELETE, 0, &failures), 1);
    cr_assert_eq(failures, 1);
    cr_assert_eq(run_on(train, after, RENAME, 0, &failures), 1);
    cr_assert_eq(failures, 2);
}
