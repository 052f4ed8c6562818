#include "cli/data_export.h"

#include "cli/print.h"
#include "cli/progress.h"
#include "core/alloc.h"
#include "core/file.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "eval/saliency/picture_grid.h"
#include "train/train_batches.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS  8
#define MAX_ROWS 8
#define CELL_PX  96

/* ---- the tensors ---- */

static const char *list_text(fv_arena *arena, const fv_value *list) {
    char *text = NULL;
    return list && fv_json_write(list, FV_JSON_COMPACT, arena, &text) == FV_OK ? text : NULL;
}

static const char *name_list(fv_arena *arena, const fv_train_batches *b) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);
    for (int64_t i = 0; i < b->n; i++)
        fv_value_add(list, fv_value_string(arena, b->dataset->samples[b->index[i]].name));
    return list_text(arena, list);
}

static const char *class_list(fv_arena *arena, const fv_dataset *ds) {
    fv_value *list = fv_value_new(arena, FV_VALUE_LIST);
    for (int64_t c = 0; c < ds->n_classes; c++)
        fv_value_add(list, fv_value_string(arena, ds->class_names[c]));
    return list_text(arena, list);
}

static const char *channel_list(fv_arena *arena, const float v[3]) {
    return fv_arena_printf(arena, "[%.9g, %.9g, %.9g]", (double)v[0], (double)v[1], (double)v[2]);
}

static const char *int_text(fv_arena *arena, int64_t v) {
    return fv_arena_printf(arena, "%" PRId64, v);
}

static fv_status save_tensors(const fv_settings *s, const fv_train_batches *b, fv_arena *arena) {
    const fv_preprocess *pre = &b->preprocess;
    const fv_safetensors_item items[] = {
        {"pixels", {b->pixels, FV_F32, fv_shape_of(4, b->n, pre->img_h, pre->img_w, (int64_t)3)}},
        {"labels", {b->labels, FV_I32, fv_shape_of(1, b->n)}},
        {"indices", {b->index, FV_I64, fv_shape_of(1, b->n)}},
        {"targets", {b->targets, FV_F32, fv_shape_of(2, b->n, b->classes)}}};
    const fv_safetensors_meta meta[] = {{"names", name_list(arena, b)},
                                        {"classes", class_list(arena, b->dataset)},
                                        {"epoch", int_text(arena, s->epoch)},
                                        {"steps", int_text(arena, b->n / b->effective_batch)},
                                        {"batch_size", int_text(arena, b->effective_batch)},
                                        {"seed", int_text(arena, s->seed)},
                                        {"mean", channel_list(arena, pre->mean)},
                                        {"std", channel_list(arena, pre->std)}};
    const int64_t n_meta = sizeof meta / sizeof *meta;

    for (int64_t i = 0; i < n_meta; i++)
        if (!meta[i].value) return FV_ERR_NOMEM;
    return fv_safetensors_save(s->out, items, b->targets ? 4 : 3, meta, n_meta);
}

/* ---- the picture ---- */

/* Back to RGB8; noise of random erasing may lie outside of it. */
static fv_status to_image(const fv_preprocess *pre, const float *pixels, fv_image *out) {
    FV_TRY(fv_image_reshape(out, pre->img_h, pre->img_w));
    for (int64_t i = 0; i < pre->img_h * pre->img_w * 3; i++) {
        const float v = (pixels[i] * pre->std[i % 3] + pre->mean[i % 3]) * 255.0f;
        out->pixels[i] = (uint8_t)lrintf(v < 0.0f ? 0.0f : v > 255.0f ? 255.0f : v);
    }
    return FV_OK;
}

static fv_status draw(const fv_train_batches *b, fv_arena *arena, fv_image *cells, fv_image *out) {
    const int64_t image = b->preprocess.img_h * b->preprocess.img_w * 3;
    const int64_t shown = b->n < COLUMNS * MAX_ROWS ? b->n : COLUMNS * MAX_ROWS;
    const fv_image *images[COLUMNS * MAX_ROWS] = {NULL};
    const char *rows[MAX_ROWS];
    const fv_picture_grid grid = {.n_rows = (shown + COLUMNS - 1) / COLUMNS,
                                  .n_columns = COLUMNS,
                                  .images = images,
                                  .row_titles = rows,
                                  .cell_px = CELL_PX};

    for (int64_t i = 0; i < shown; i++) {
        FV_TRY(to_image(&b->preprocess, b->pixels + i * image, &cells[i]));
        images[i] = &cells[i];
    }
    for (int64_t r = 0; r < grid.n_rows; r++) {
        rows[r] = int_text(arena, r * COLUMNS);
        if (!rows[r]) return FV_ERR_NOMEM;
    }
    return fv_picture_grid_draw(&grid, out);
}

static fv_status save_picture(const fv_train_batches *b, const char *path, fv_arena *arena) {
    fv_image cells[COLUMNS * MAX_ROWS] = {{0}}, sheet = {0};

    fv_status status = draw(b, arena, cells, &sheet);
    if (status == FV_OK) status = fv_image_save_png(&sheet, path);
    for (int i = 0; i < COLUMNS * MAX_ROWS; i++) fv_image_release(&cells[i]);
    fv_image_release(&sheet);
    return status;
}

/* "a.png" for "a.safetensors", "a.b.png" for "a.b". */
static const char *picture_path(fv_arena *arena, const char *path) {
    static const char suffix[] = ".safetensors";
    const size_t n = strlen(path), k = sizeof suffix - 1;
    const size_t stem = n > k && strcmp(path + n - k, suffix) == 0 ? n - k : n;

    return fv_arena_printf(arena, "%.*s.png", (int)stem, path);
}

/* ---- the command ---- */

static fv_status print_result(const fv_settings *s, const fv_train_batches *b, const char *picture,
                              fv_arena *arena) {
    if (!s->json) {
        fv_print("%s: %" PRId64 " images of %" PRId64 "x%" PRId64 ", epoch %" PRId64 "\n%s\n",
                 s->out, b->n, b->preprocess.img_h, b->preprocess.img_w, s->epoch, picture);
        return FV_OK;
    }
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    fv_value_set(arena, map, "out", fv_value_string(arena, s->out));
    fv_value_set(arena, map, "picture", fv_value_string(arena, picture));
    fv_value_set(arena, map, "count", fv_value_int(arena, b->n));
    fv_value_set(arena, map, "batch_size", fv_value_int(arena, b->effective_batch));
    fv_value_set(arena, map, "epoch", fv_value_int(arena, s->epoch));
    fv_value_set(arena, map, "mixed", fv_value_bool(arena, b->targets != NULL));
    return fv_print_json(map);
}

static fv_status check_folder(const char *path, fv_arena *arena) {
    const char *slash = strrchr(path, '/');
    const char *folder =
        slash ? fv_arena_printf(arena, "%.*s", (int)(slash - path) + (slash == path), path) : ".";

    if (!folder) return FV_ERR_NOMEM;
    return fv_folder_prepare(folder);
}

fv_status fv_data_export(const fv_args *args) {
    const fv_settings *s = &args->settings;
    const fv_train_batches_range range = {.epoch = s->epoch,
                                          .count = s->given.steps ? s->steps : 1};
    fv_train_batches batches = {0};
    fv_arena arena = {0};
    fv_progress progress;

    if (!s->out[0]) return FV_FAIL(FV_ERR_CONFIG, "data export: --out says which file to write");
    fv_status status = check_folder(s->out, &arena);
    fv_progress_init(&progress, s->color);
    const fv_report report = fv_progress_report(&progress);
    if (status == FV_OK) status = fv_train_batches_load(s, range, &report, &batches);
    fv_progress_end(&progress);
    const char *picture = picture_path(&arena, s->out);
    if (status == FV_OK && !picture) status = FV_ERR_NOMEM;
    if (status == FV_OK) status = save_tensors(s, &batches, &arena);
    if (status == FV_OK) status = save_picture(&batches, picture, &arena);
    if (status == FV_OK) status = print_result(s, &batches, picture, &arena);
    fv_train_batches_free(&batches);
    fv_arena_destroy(&arena);
    return status;
}
