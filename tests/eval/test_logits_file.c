#include "eval/logits_file.h"

#include "core/file.h"
#include "core/json.h"
#include "core/safetensors.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[128];
static fv_sample samples[] = {{.name = "a/x.jpg"}, {.name = "b/quote\".png"}, {.name = "b/z.png"}};
static const char *classes[] = {"a", "b"};
static const fv_dataset dataset = {
    .root = "data", .samples = samples, .n_samples = 3, .class_names = classes, .n_classes = 2};

static void enter(void) {
    strcpy(folder, "/tmp/fovea_logits_XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/out.safetensors", folder);
}

static void leave(void) { fv_folder_remove(folder); }

TestSuite(eval_logits_file, .init = enter, .fini = leave);

static void check_names(const fv_safetensors *st, const char *key, int n, const char *last) {
    const char *text = fv_safetensors_metadata(st, key);
    fv_arena arena = {0};
    fv_value *list;

    cr_assert_not_null(text);
    cr_assert_eq(fv_json_parse(text, strlen(text), key, &arena, &list), FV_OK);
    cr_assert_eq(list->count, n);
    cr_assert_str_eq(list->last->text, last);
    fv_arena_destroy(&arena);
}

Test(eval_logits_file, holds_logits_labels_and_names) {
    const fv_evaluated first = {.logits = (float[]){1.0f, 2.0f},
                                .labels = (int32_t[]){0},
                                .index = (int64_t[]){0},
                                .n = 1,
                                .n_classes = 2};
    /* the third sample was bad */
    const fv_evaluated second = {.logits = (float[]){3.0f, 4.0f},
                                 .labels = (int32_t[]){1},
                                 .index = (int64_t[]){1},
                                 .n = 1,
                                 .n_classes = 2};
    fv_logits_file *file;
    fv_safetensors *st;
    float logits[4];
    int64_t labels[2];

    cr_assert_eq(fv_logits_file_create(path, &dataset, 2, &file), FV_OK, "%s", fv_error_message());
    cr_assert_not(fv_file_exists(path), "nothing is written before the end");
    cr_assert_eq(fv_logits_file_add(file, &first), FV_OK);
    cr_assert_eq(fv_logits_file_add(file, &second), FV_OK);
    cr_assert_eq(fv_logits_file_save(file), FV_OK, "%s", fv_error_message());
    fv_logits_file_destroy(file);

    cr_assert_eq(fv_safetensors_open(path, &st), FV_OK, "%s", fv_error_message());
    const fv_safetensors_entry *e = fv_safetensors_find(st, "logits");
    cr_assert(e && e->dtype == FV_F32 && e->shape.rank == 2 && e->shape.dim[0] == 2 &&
              e->shape.dim[1] == 2);
    cr_assert_eq(fv_safetensors_read_f32(st, e, logits), FV_OK);
    for (int i = 0; i < 4; i++) cr_assert_eq(logits[i], (float)(i + 1));
    e = fv_safetensors_find(st, "labels");
    cr_assert(e && e->dtype == FV_I32);
    cr_assert_eq(fv_safetensors_read_i64(st, e, labels), FV_OK);
    cr_assert(labels[0] == 0 && labels[1] == 1);
    check_names(st, "names", 2, "b/quote\".png");
    check_names(st, "classes", 2, "b");
    fv_safetensors_close(st);
}

Test(eval_logits_file, a_path_that_cannot_be_written_is_found_at_once) {
    char bad[256];
    fv_logits_file *file;
    struct stat info;

    cr_assert_eq(fv_file_write(path, "old", 3), FV_OK);
    snprintf(bad, sizeof bad, "%s/x", path);
    cr_assert_eq(fv_logits_file_create(bad, &dataset, 2, &file), FV_ERR_IO);
    cr_assert_null(file);
    cr_assert_not_null(strstr(fv_error_message(), bad), "%s", fv_error_message());
    snprintf(bad, sizeof bad, "%s/none/x", folder);
    cr_assert_eq(fv_logits_file_create(bad, &dataset, 2, &file), FV_ERR_NOT_FOUND);
    cr_assert_eq(fv_logits_file_create(folder, &dataset, 2, &file), FV_ERR_IO);
    cr_assert_eq(fv_logits_file_create(path, &dataset, 2, &file), FV_OK);
    fv_logits_file_destroy(file);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(info.st_size, 3, "an older file stays");
    snprintf(bad, sizeof bad, "%s.tmp", path);
    cr_assert_neq(access(bad, F_OK), 0, "nothing is left behind");
}

Test(eval_logits_file, more_rows_than_samples_are_refused) {
    const fv_evaluated batch = {.logits = (float[8]){0},
                                .labels = (int32_t[4]){0},
                                .index = (int64_t[4]){0},
                                .n = 4,
                                .n_classes = 2};
    fv_logits_file *file;

    cr_assert_eq(fv_logits_file_create(path, &dataset, 2, &file), FV_OK);
    cr_assert_eq(fv_logits_file_add(file, &batch), FV_ERR_INTERNAL);
    fv_logits_file_destroy(file);
}
