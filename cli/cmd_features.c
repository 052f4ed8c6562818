/* cmd_features.c - fovea features: exports what a classifier would read, and judges it. */
#include "cli/checkpoint_args.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "core/clock.h"
#include "core/parallel.h"
#include "data/dataset_settings.h"
#include "eval/features.h"
#include "eval/probe.h"
#include "train/stepper.h"

#include <inttypes.h>
#include <string.h>

/* What one call works with. */
typedef struct job {
    const fv_settings *s;
    bool bf16, probes;
    fv_loaded loaded;
    fv_dataset *dataset, *train; /* train: only with probes */
    fv_features features, train_features;
    fv_probe_result knn, linear;
    double knn_seconds, linear_seconds;
} job;

static fv_status same_classes(const fv_dataset *a, const fv_dataset *b) {
    bool same = a->n_classes == b->n_classes;

    for (int64_t c = 0; same && c < a->n_classes; c++)
        same = strcmp(a->class_names[c], b->class_names[c]) == 0;
    return same ? FV_OK
                : FV_FAIL(FV_ERR_FORMAT, "%s: the classes of %s and %s are not the same", a->root,
                          a->split, b->split);
}

static fv_status prepare(job *j, const char *checkpoint) {
    const fv_settings *s = j->s;
    bool emulated = false;

    j->probes = s->linear_probe || s->knn > 0;
    if (!j->probes && !s->out[0])
        return FV_FAIL(FV_ERR_CONFIG, "features needs --out, the file to write, or --knn or "
                                      "--linear-probe");
    if (strcmp(s->precision, "auto") != 0) /* auto is f32 here */
        FV_TRY(fv_precision_resolve(s->precision, &j->bf16, &emulated));
    FV_TRY(
        fv_checkpoint_args_open(s, checkpoint, (fv_checkpoint_use){.bf16 = j->bf16}, &j->loaded));
    if (!s->data_dir[0])
        return FV_FAIL(FV_ERR_CONFIG, "features needs --data-dir, the folder of the data set");
    FV_TRY(fv_dataset_open_settings(s, s->data_dir, s->split,
                                    j->probes ? FV_SPLIT_WHOLE : FV_SPLIT_CHOSEN, &j->dataset));
    if (!j->probes) return FV_OK;
    FV_TRY(fv_dataset_open_settings(s, s->data_dir, s->train_split, FV_SPLIT_CHOSEN, &j->train));
    return same_classes(j->train, j->dataset);
}

static fv_status extract(job *j, const fv_dataset *dataset, const fv_report *report,
                         fv_features *out) {
    const fv_settings *s = j->s;

    return fv_features_extract(&(fv_features_config){.model = j->loaded.model,
                                                     .dataset = dataset,
                                                     .preprocess = &j->loaded.preprocess,
                                                     .batch_size = s->batch_size,
                                                     .workers = fv_loader_workers(s->workers),
                                                     .max_bad = s->max_bad,
                                                     .bf16 = j->bf16,
                                                     .label = dataset->split},
                               report, out);
}

static fv_status probe(job *j) {
    const fv_features *a = &j->train_features, *b = &j->features;
    const fv_probe_data data = {.train = {a->x, a->label, a->n},
                                .test = {b->x, b->label, b->n},
                                .C = b->C,
                                .K = j->dataset->n_classes};
    const double begin = fv_clock_seconds();

    if (j->s->knn > 0) FV_TRY(fv_probe_knn(&data, j->s->knn, &j->knn));
    j->knn_seconds = fv_clock_seconds() - begin;
    if (j->s->linear_probe) FV_TRY(fv_probe_linear(&data, &j->linear));
    j->linear_seconds = fv_clock_seconds() - begin - j->knn_seconds;
    return FV_OK;
}

static fv_status work(job *j) {
    fv_progress progress;

    fv_interrupt_install();
    fv_progress_init(&progress, j->s->color);
    const fv_report report = fv_progress_report(&progress);
    fv_status status = j->probes ? extract(j, j->train, &report, &j->train_features) : FV_OK;
    if (status == FV_OK) status = extract(j, j->dataset, &report, &j->features);
    fv_progress_end(&progress);
    if (status == FV_OK && j->s->out[0])
        status = fv_features_save(&j->features, j->probes ? &j->train_features : NULL, j->s->out);
    return status == FV_OK && j->probes ? probe(j) : status;
}

static fv_value *scores(fv_arena *arena, const fv_probe_result *r, double seconds) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    fv_value_set(arena, map, "top1", fv_value_real(arena, r->top1));
    fv_value_set(arena, map, "top5", fv_value_real(arena, r->top5));
    fv_value_set(arena, map, "seconds", fv_value_real(arena, seconds));
    return map;
}

static fv_status print(const job *j) {
    fv_arena arena = {0}, *a = &arena;
    fv_value *map = fv_value_new(a, FV_VALUE_MAP);
    fv_status status = FV_OK;

    fv_value_set(a, map, "model", fv_value_string(a, j->loaded.model->name));
    fv_value_set(a, map, "split", fv_value_string(a, j->dataset->split));
    fv_value_set(a, map, "count", fv_value_int(a, j->features.n));
    fv_value_set(a, map, "train_count", fv_value_int(a, j->train_features.n));
    fv_value_set(a, map, "num_features", fv_value_int(a, j->features.C));
    fv_value_set(a, map, "seconds",
                 fv_value_real(a, j->features.seconds + j->train_features.seconds));
    if (j->s->out[0]) fv_value_set(a, map, "out", fv_value_string(a, j->s->out));
    if (j->s->knn > 0) {
        fv_value *knn = scores(a, &j->knn, j->knn_seconds);
        fv_value_set(a, knn, "k", fv_value_int(a, j->s->knn));
        fv_value_set(a, map, "knn", knn);
    }
    if (j->s->linear_probe) {
        fv_value *linear = scores(a, &j->linear, j->linear_seconds);
        fv_value_set(a, linear, "l2", fv_value_real(a, j->linear.l2));
        fv_value_set(a, linear, "held_out_top1", fv_value_real(a, j->linear.held_out));
        fv_value_set(a, map, "linear_probe", linear);
    }
    if (j->s->json)
        status = fv_print_json(map);
    else if (map && !map->incomplete)
        fv_print_map(map);
    else
        status = FV_ERR_NOMEM;
    fv_arena_destroy(&arena);
    return status;
}

static fv_status run(const fv_args *args) {
    job j = {.s = &args->settings};

    fv_status status = prepare(&j, args->positional[0]);
    if (status == FV_OK) status = work(&j);
    if (status == FV_OK) status = print(&j);
    fv_features_free(&j.features);
    fv_features_free(&j.train_features);
    fv_dataset_destroy(j.train);
    fv_dataset_destroy(j.dataset);
    fv_checkpoint_args_close(&j.loaded);
    return status;
}

const fv_command fv_command_features = {
    .name = "features",
    .summary = "export features of a checkpoint, and judge them",
    .usage = "CKPT --data-dir DIR [--out FILE] [--knn K] [--linear-probe] [options]",
    .details =
        "Features are what the classifier reads; the data set may have classes of its own.\n"
        "--out writes features [n,C], labels [n] and, as metadata, names, as safetensors.\n"
        "--knn K: the K nearest samples of --train-split vote (cosine, temperature 0.07).\n"
        "--linear-probe: logistic regression on --train-split, its penalty chosen on a fifth of\n"
        "that split which is held out.  Both are judged on --split; --out then also holds\n"
        "train_features and train_labels.",
    .example = "fovea features run --data-dir data --knn 20 --linear-probe --out F.safetensors",
    .options = FV_CMD_FEATURES,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
