/* cmd_eval.c - fovea eval: accuracy, loss and calibration of a checkpoint on a data set. */
#include "cli/checkpoint_args.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "core/parallel.h"
#include "data/dataset_settings.h"
#include "eval/class_names.h"
#include "eval/evaluate.h"
#include "eval/logits_file.h"
#include "train/stepper.h"

#include <inttypes.h>
#include <string.h>

/* What one call works with. */
typedef struct job {
    const fv_settings *settings;
    const char *checkpoint;
    bool bf16;
    fv_loaded loaded;
    fv_dataset *dataset;
    fv_logits_file *logits; /* NULL: not wanted */
    fv_evaluator *evaluator;
    fv_evaluate_result result;
} job;

/* Everything that can be wrong is found here, the checkpoint first. */
static fv_status prepare(job *j) {
    const fv_settings *s = j->settings;
    bool emulated = false;

    if (strcmp(s->precision, "auto") != 0) /* auto is f32 here */
        FV_TRY(fv_precision_resolve(s->precision, &j->bf16, &emulated));
    FV_TRY(fv_checkpoint_args_open(s, j->checkpoint, (fv_checkpoint_use){.bf16 = j->bf16},
                                   &j->loaded));
    if (!s->data_dir[0])
        return FV_FAIL(FV_ERR_CONFIG, "eval needs --data-dir, the folder of the data set");
    FV_TRY(fv_dataset_open_settings(s, s->data_dir, s->split, FV_SPLIT_CHOSEN, &j->dataset));
    FV_TRY(fv_class_names_check(j->checkpoint, j->loaded.meta.label_names,
                                j->loaded.model->num_classes, j->dataset));
    if (s->logits[0])
        FV_TRY(
            fv_logits_file_create(s->logits, j->dataset, j->loaded.model->num_classes, &j->logits));
    const fv_evaluator_config config = {.model = j->loaded.model,
                                        .dataset = j->dataset,
                                        .preprocess = &j->loaded.preprocess,
                                        .batch_size = s->batch_size,
                                        .workers = fv_loader_workers(s->workers),
                                        .max_bad = s->max_bad};
    return fv_evaluator_create(&config, &j->evaluator);
}

static fv_status evaluate(job *j) {
    fv_progress progress;

    fv_interrupt_install();
    fv_progress_init(&progress, j->settings->color);
    const fv_report report = fv_progress_report(&progress);
    const fv_evaluate_options options = {.bf16 = j->bf16,
                                         .sink = j->logits ? fv_logits_file_add : NULL,
                                         .sink_user = j->logits,
                                         .report = &report};
    const fv_status status = fv_evaluator_run(j->evaluator, &options, &j->result);
    fv_progress_end(&progress);
    FV_TRY(status);
    return j->logits ? fv_logits_file_save(j->logits) : FV_OK;
}

static void print_text(const job *j) {
    const fv_evaluate_result *r = &j->result;

    fv_print(" * Acc@1 %.3f (%.3f) Acc@5 %.3f (%.3f)\n", r->top1, 100.0 - r->top1, r->top5,
             100.0 - r->top5);
    fv_print("loss %.4f  ece %.4f  %" PRId64 " images, %.1f/s\n", r->loss, r->ece, r->count,
             r->images_per_second);
    if (j->logits) fv_print("logits: %s\n", j->settings->logits);
}

static fv_status print_value(const job *j) {
    const fv_evaluate_result *r = &j->result;
    fv_arena arena = {0};
    fv_value *map = fv_value_new(&arena, FV_VALUE_MAP);

    fv_value_set(&arena, map, "model", fv_value_string(&arena, j->loaded.model->name));
    fv_value_set(&arena, map, "split", fv_value_string(&arena, j->dataset->split));
    fv_value_set(&arena, map, "top1", fv_value_real(&arena, r->top1));
    fv_value_set(&arena, map, "top5", fv_value_real(&arena, r->top5));
    fv_value_set(&arena, map, "loss", fv_value_real(&arena, r->loss));
    fv_value_set(&arena, map, "ece", fv_value_real(&arena, r->ece));
    fv_value_set(&arena, map, "count", fv_value_int(&arena, r->count));
    fv_value_set(&arena, map, "bad", fv_value_int(&arena, r->n_bad));
    fv_value_set(&arena, map, "images_per_second", fv_value_real(&arena, r->images_per_second));
    if (j->logits)
        fv_value_set(&arena, map, "logits", fv_value_string(&arena, j->settings->logits));
    const fv_status status = fv_print_json(map);
    fv_arena_destroy(&arena);
    return status;
}

static fv_status run(const fv_args *args) {
    job j = {.settings = &args->settings, .checkpoint = args->positional[0]};

    fv_status status = prepare(&j);
    if (status == FV_OK) status = evaluate(&j);
    if (status == FV_OK && j.settings->json)
        status = print_value(&j);
    else if (status == FV_OK)
        print_text(&j);
    fv_evaluator_destroy(j.evaluator);
    fv_logits_file_destroy(j.logits);
    fv_dataset_destroy(j.dataset);
    fv_checkpoint_args_close(&j.loaded);
    return status;
}

const fv_command fv_command_eval = {
    .name = "eval",
    .alias = "validate",
    .summary = "measure a checkpoint on a data set",
    .usage = "CKPT --data-dir DIR [options]",
    .details = "CKPT is a checkpoint, run or hub folder, or a .safetensors file with --model.\n"
               "Accuracies are percent; ece is the expected calibration error, 15 bins.\n"
               "--logits writes logits [n,K], labels [n] and, as metadata, the samples' names.",
    .example = "fovea eval run --data-dir data --logits logits.safetensors",
    .options = FV_CMD_EVAL,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
