/* cmd_predict.c - fovea predict: the most probable classes of images. */
#include "cli/checkpoint_args.h"
#include "cli/command.h"
#include "cli/image_args.h"
#include "cli/print.h"
#include "core/alloc.h"
#include "eval/predict.h"
#include "train/stepper.h"

#include <inttypes.h>
#include <string.h>

/* What one call works with. */
typedef struct job {
    const fv_settings *settings;
    bool bf16;
    fv_loaded loaded;
    fv_image_args images;
    fv_tape *tape;
    float *logits;      /* [num_classes] */
    fv_prediction *top; /* [num_classes] */
    fv_value *results;  /* NULL: text is printed instead */
    fv_arena arena;
} job;

static fv_status prepare(job *j, const fv_args *args) {
    const fv_settings *s = j->settings;
    bool emulated = false;

    if (strcmp(s->precision, "auto") != 0) /* auto is f32 here */
        FV_TRY(fv_precision_resolve(s->precision, &j->bf16, &emulated));
    FV_TRY(fv_checkpoint_args_open(s, args->positional[0], (fv_checkpoint_use){.bf16 = j->bf16},
                                   &j->loaded));
    FV_TRY(fv_image_args_expand(args->positional + 1, args->n_positional - 1, 0, &j->arena,
                                &j->images));
    const size_t n = (size_t)j->loaded.model->num_classes;
    j->logits = fv_arena_alloc(&j->arena, n, sizeof *j->logits);
    j->top = fv_arena_alloc(&j->arena, n, sizeof *j->top);
    if (!j->logits || !j->top) return FV_ERR_NOMEM;
    if (s->json) {
        j->results = fv_value_new(&j->arena, FV_VALUE_LIST);
        if (!j->results) return FV_ERR_NOMEM;
    }
    return fv_tape_create(&j->tape);
}

/* Its name, NULL when the checkpoint does not know it. */
static const char *class_name(const job *j, int64_t index) {
    return j->loaded.meta.label_names ? j->loaded.meta.label_names[index] : NULL;
}

static void add_value(job *j, const char *path, int64_t n) {
    fv_arena *arena = &j->arena;
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP), *top = fv_value_new(arena, FV_VALUE_LIST);

    for (int64_t i = 0; i < n; i++) {
        fv_value *item = fv_value_new(arena, FV_VALUE_MAP);
        fv_value_set(arena, item, "class", fv_value_string(arena, class_name(j, j->top[i].index)));
        fv_value_set(arena, item, "index", fv_value_int(arena, j->top[i].index));
        fv_value_set(arena, item, "probability", fv_value_real(arena, j->top[i].probability));
        fv_value_add(top, item);
    }
    fv_value_set(arena, map, "image", fv_value_string(arena, path));
    fv_value_set(arena, map, "top", top);
    fv_value_add(j->results, map);
}

static void print_text(const job *j, const char *path, int64_t n) {
    fv_print("%s\n", path);
    for (int64_t i = 0; i < n; i++) {
        const char *name = class_name(j, j->top[i].index);
        fv_print("  %6.2f%%  %5" PRId64 "%s%s\n", 100.0 * j->top[i].probability, j->top[i].index,
                 name ? "  " : "", name ? name : "");
    }
}

static fv_status predict_all(job *j) {
    const fv_model *model = j->loaded.model;

    for (int64_t i = 0; i < j->images.count; i++) {
        const char *path = j->images.path[i];
        FV_TRY(fv_predict_file(j->tape, model, &j->loaded.preprocess, j->bf16, path, j->logits));
        const int64_t n = fv_predict_top(j->logits, model->num_classes, j->settings->topk, j->top);
        if (j->results)
            add_value(j, path, n);
        else
            print_text(j, path, n);
    }
    return j->results ? fv_print_json(j->results) : FV_OK;
}

static fv_status run(const fv_args *args) {
    job j = {.settings = &args->settings};

    fv_status status = prepare(&j, args);
    if (status == FV_OK) status = predict_all(&j);
    fv_tape_destroy(j.tape);
    fv_checkpoint_args_close(&j.loaded);
    fv_arena_destroy(&j.arena);
    return status;
}

const fv_command fv_command_predict = {
    .name = "predict",
    .summary = "name the most probable classes of images",
    .usage = "CKPT IMAGE... [options]",
    .details = "A folder stands for the image files in it.",
    .example = "fovea predict run cat.jpg --topk 3",
    .options = FV_CMD_PREDICT,
    .min_args = 2,
    .max_args = -1,
    .run = run,
};
