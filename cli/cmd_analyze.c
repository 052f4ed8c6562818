/* cmd_analyze.c - fovea analyze: what each attention head is worth, and where it looks. */
#include "cli/checkpoint_args.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/file.h"
#include "data/dataset_settings.h"
#include "data/loader.h"
#include "eval/analysis/analysis.h"
#include "eval/class_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT       5  /* images of each class, unless told otherwise */
#define LOADED      4  /* in one batch of the loader; they are analysed one by one */
#define MAX_BATCH   64 /* masked copies of an image in one pass */
#define MAX_WORKERS 2

/* What one call works with. */
typedef struct job {
    const fv_settings *settings;
    const char *checkpoint;
    fv_loaded loaded;
    fv_dataset *dataset;
    fv_loader *loader;
    int64_t *order; /* [count] */
    int64_t count;
    fv_analysis *analysis;
    fv_arena arena;
} job;

static fv_status choose_images(job *j) {
    const fv_settings *s = j->settings;

    j->order = fv_arena_alloc(&j->arena, (size_t)j->dataset->n_samples + 1, sizeof *j->order);
    if (!j->order) return FV_ERR_NOMEM;
    j->count = fv_dataset_first(j->dataset, s->given.count ? s->count : COUNT, j->order);
    return j->count < 0 ? FV_ERR_NOMEM : FV_OK;
}

static fv_status prepare(job *j) {
    const fv_settings *s = j->settings;
    const int64_t batch = s->given.batch_size ? s->batch_size : 0;

    FV_TRY(fv_checkpoint_args_open(s, j->checkpoint, (fv_checkpoint_use){0}, &j->loaded));
    if (!s->data_dir[0])
        return FV_FAIL(FV_ERR_CONFIG, "analyze needs --data-dir, the folder of the data set");
    if (strcmp(s->precision, "bf16") == 0)
        return FV_FAIL(FV_ERR_CONFIG, "--precision: attention is analysed in f32 only");
    FV_TRY(fv_dataset_open_settings(s, s->data_dir, s->split, FV_SPLIT_CHOSEN, &j->dataset));
    FV_TRY(fv_class_names_check(j->checkpoint, j->loaded.meta.label_names,
                                j->loaded.model->num_classes, j->dataset));
    if (j->dataset->n_classes != j->loaded.model->num_classes)
        return FV_FAIL(FV_ERR_CONFIG, "%s has %" PRId64 " classes, the model %" PRId64,
                       j->dataset->root, j->dataset->n_classes, j->loaded.model->num_classes);
    if (s->out[0]) FV_TRY(fv_folder_prepare(s->out));
    FV_TRY(choose_images(j));
    const fv_loader_config config = {.dataset = j->dataset,
                                     .preprocess = &j->loaded.preprocess,
                                     .workers = s->workers < 0 ? MAX_WORKERS : (int)s->workers,
                                     .batch_size = LOADED,
                                     .max_bad = s->max_bad};
    FV_TRY(fv_loader_create(&config, &j->loader));
    return fv_analysis_create(j->loaded.model, j->count, batch < MAX_BATCH ? batch : MAX_BATCH,
                              &j->analysis);
}

/* ---- the work ---- */

static fv_status analyse_batch(job *j, const fv_batch *batch, const fv_report *report,
                               double begin) {
    const fv_model_input *in = &j->loaded.model->input;
    const int64_t image = in->height * in->width * 3;

    if (batch->n_bad > 0) fv_report_warning(report, "left out: %s", batch->bad);
    for (int64_t i = 0; i < batch->n; i++) {
        FV_TRY(fv_analysis_add(j->analysis, batch->pixels + i * image, batch->labels[i]));
        const int64_t done = j->analysis->n_images;
        fv_report_progress(report, &(fv_report_step){.label = "Analyze",
                                                     .done = done,
                                                     .total = j->count,
                                                     .images = done,
                                                     .seconds = fv_clock_seconds() - begin,
                                                     .due = done == j->count || done % 50 == 0});
        if (done < j->count && fv_report_stop(report))
            return FV_FAIL(FV_ERR_INTERRUPTED, "stopped after %" PRId64 " of %" PRId64 " images",
                           done, j->count);
    }
    return FV_OK;
}

static fv_status analyse_images(job *j, const fv_report *report) {
    const fv_loader_epoch epoch = {.order = j->order, .n_order = j->count};
    const double begin = fv_clock_seconds();
    const fv_batch *batch = NULL;
    fv_status status = fv_loader_start(j->loader, &epoch);

    while (status == FV_OK) {
        status = fv_loader_next(j->loader, &batch);
        if (status != FV_OK || !batch) break;
        status = analyse_batch(j, batch, report, begin);
        fv_batch_release(j->loader, batch);
    }
    return status == FV_OK ? fv_analysis_finish(j->analysis) : status;
}

static fv_status analyse(job *j) {
    fv_progress progress;

    fv_interrupt_install();
    fv_progress_init(&progress, j->settings->color);
    const fv_report report = fv_progress_report(&progress);
    const fv_status status = analyse_images(j, &report);
    fv_progress_end(&progress);
    return status;
}

/* ---- results ---- */

typedef struct output {
    const char *raw, *offsets, *rings; /* paths; NULL: nothing was written */
} output;

static fv_status write_files(job *j, output *out) {
    const char *folder = j->settings->out;

    if (!folder[0]) return FV_OK;
    out->raw = fv_arena_printf(&j->arena, "%s/analysis.safetensors", folder);
    out->offsets = fv_arena_printf(&j->arena, "%s/offsets.png", folder);
    out->rings = fv_arena_printf(&j->arena, "%s/rings.png", folder);
    if (!out->raw || !out->offsets || !out->rings) return FV_ERR_NOMEM;
    FV_TRY(fv_analysis_save(j->analysis, j->checkpoint, out->raw));
    FV_TRY(fv_analysis_save_offsets(j->analysis, out->offsets));
    return fv_analysis_save_rings(j->analysis, out->rings);
}

static fv_status print_value(job *j, const output *out) {
    const fv_analysis *a = j->analysis;
    fv_arena *arena = &j->arena;
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    fv_value_set(arena, map, "model", fv_value_string(arena, j->loaded.model->name));
    fv_value_set(arena, map, "split", fv_value_string(arena, j->dataset->split));
    fv_value_set(arena, map, "count", fv_value_int(arena, a->n_images));
    fv_value_set(arena, map, "bad", fv_value_int(arena, fv_loader_bad(j->loader)));
    fv_value_set(arena, map, "top1",
                 fv_value_real(arena, 100.0 * (double)a->right / (double)a->n_images));
    fv_analysis_describe(a, arena, map);
    fv_value_set(arena, map, "raw", fv_value_string(arena, out->raw));
    fv_value_set(arena, map, "offsets", fv_value_string(arena, out->offsets));
    fv_value_set(arena, map, "rings", fv_value_string(arena, out->rings));
    return fv_print_json(map);
}

static void print_head(const fv_analysis_layer *layer, int64_t h) {
    const fv_analysis_head *head = &layer->head[h];
    const fv_moments *m = head->importance;

    fv_print("%-28s %-8s %4" PRId64 " %9.2e %9.2e %9.2e %9.2e %7.2f", layer->path,
             fv_attention_kind_name(layer->layout.kind), h, m[FV_IMPORTANCE_dloss].mean,
             fv_moments_se(&m[FV_IMPORTANCE_dloss]), m[FV_IMPORTANCE_kl].mean,
             m[FV_IMPORTANCE_gradient].mean, head->accuracy_drop);
    if (!head->received)
        fv_print(" %8s %8s %8s\n", "-", "-", "-");
    else
        fv_print(" %8.3f %8.3f %8.3f\n", head->profile[FV_HEAD_entropy].mean,
                 head->profile[FV_HEAD_distance].mean, head->profile[FV_HEAD_sink].mean);
}

static void print_text(const job *j, const output *out) {
    const fv_analysis *a = j->analysis;

    fv_print("%-28s %-8s %4s %9s %9s %9s %9s %7s %8s %8s %8s\n", "layer", "kind", "head", "dloss",
             "se", "kl", "gradient", "-acc %", "entropy", "distance", "sink");
    for (int64_t l = 0; l < a->n_layers; l++)
        for (int64_t h = 0; h < a->layers[l].layout.heads; h++) print_head(&a->layers[l], h);
    fv_print("%" PRId64 " images, top-1 %.2f, %" PRId64 " heads in %" PRId64 " layers\n",
             a->n_images, 100.0 * (double)a->right / (double)a->n_images, a->n_heads, a->n_layers);
    if (out->raw) fv_print("%s\n%s\n%s\n", out->raw, out->offsets, out->rings);
}

static fv_status run(const fv_args *args) {
    job j = {.settings = &args->settings, .checkpoint = args->positional[0]};
    output out = {0};

    fv_status status = prepare(&j);
    if (status == FV_OK) status = analyse(&j);
    if (status == FV_OK) status = write_files(&j, &out);
    if (status == FV_OK && j.settings->json)
        status = print_value(&j, &out);
    else if (status == FV_OK)
        print_text(&j, &out);
    fv_analysis_destroy(j.analysis);
    fv_loader_destroy(j.loader);
    fv_dataset_destroy(j.dataset);
    fv_checkpoint_args_close(&j.loaded);
    fv_arena_destroy(&j.arena);
    return status;
}

const fv_command fv_command_analyze = {
    .name = "analyze",
    .summary = "measure what attention heads are worth and where they look",
    .usage = "CKPT --data-dir DIR [options]",
    .details =
        "CKPT is a run, checkpoint or hub folder or a .safetensors file.  Every head is left out\n"
        "in turn: dloss is log p - log p' of the true class (below 0: it is more probable without\n"
        "the head), kl and -acc the divergence of the answers and the loss of accuracy; gradient\n"
        "is the first-order estimate.  entropy (nats), distance (positions) and sink (share of "
        "the\n"
        "most attended position) say where a head looks.  --count is 5 unless given.  --out "
        "writes\n"
        "all numbers (analysis.safetensors) and pictures: offsets.png, a row per layer and a "
        "square\n"
        "per head, rings.png, layers by distance.",
    .example = "fovea analyze run --data-dir data --count 2\n"
               "fovea analyze run --data-dir data --out analysis --json",
    .options = FV_CMD_ANALYZE,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
