#include "eval/features.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/ops.h"
#include "core/safetensors.h"
#include "data/sampler.h"
#include "eval/class_names.h"

#include <string.h>

#define TAP "pre_logits"

/* ---- one batch ---- */

/* [n,C], or [n,T,C] of which the mean over T counts. */
static fv_status add_batch(fv_features *f, const fv_batch *batch, const fv_var *y) {
    const int64_t T = y && y->shape.rank == 3 ? y->shape.dim[1] : 1;

    if (!y || !y->data || y->dtype != FV_F32 || fv_shape_last(&y->shape) != f->C ||
        fv_shape_numel(&y->shape) != batch->n * T * f->C)
        return FV_FAIL(FV_ERR_INTERNAL, "no features [%lld, %lld] at the classifier's input",
                       (long long)batch->n, (long long)f->C);
    const float *x = y->data;
    for (int64_t i = 0; i < batch->n; i++)
        for (int64_t c = 0; c < f->C; c++) {
            float sum = 0.0f;
            for (int64_t t = 0; t < T; t++) sum += x[(i * T + t) * f->C + c];
            f->x[(f->n + i) * f->C + c] = sum / (float)T;
        }
    memcpy(f->label + f->n, batch->labels, (size_t)batch->n * sizeof *f->label);
    memcpy(f->index + f->n, batch->index, (size_t)batch->n * sizeof *f->index);
    f->n += batch->n;
    return FV_OK;
}

static fv_status forward(const fv_features_config *c, fv_tape *tape, const fv_batch *batch,
                         fv_features *f) {
    const fv_model_input *in = &c->model->input;
    const fv_tensor pixels = {batch->pixels, FV_F32,
                              fv_shape_of(4, batch->n, in->height, in->width, (int64_t)3)};

    fv_tape_begin(tape, &(fv_step){.mode = FV_INFER,
                                   .bf16 = c->bf16,
                                   .samples = batch->n,
                                   .chunk_samples = fv_model_chunk_samples(c->model)});
    fv_model_forward(c->model, fv_input(tape, &pixels, false));
    FV_TRY(fv_tape_status(tape));
    const fv_var *y = fv_tape_find(tape, TAP);
    return add_batch(f, batch, y);
}

/* ---- the whole set ---- */

static fv_status run(const fv_features_config *c, const fv_report *report, fv_tape *tape,
                     fv_loader *loader, const int64_t *order, fv_features *f) {
    const double begin = fv_clock_seconds();
    const int64_t total = c->dataset->n_samples;
    const fv_batch *batch = NULL;

    FV_TRY(fv_tape_watch(tape, TAP, FV_WATCH_VALUE));
    FV_TRY(fv_loader_start(loader, &(fv_loader_epoch){.order = order, .n_order = total}));
    for (int64_t done = 1;; done++) {
        FV_TRY(fv_loader_next(loader, &batch));
        if (!batch) break;
        if (batch->n_bad > 0) fv_report_warning(report, "left out: %s", batch->bad);
        const fv_status status = forward(c, tape, batch, f);
        fv_batch_release(loader, batch);
        FV_TRY(status);
        f->seconds = fv_clock_seconds() - begin;
        fv_report_progress(report, &(fv_report_step){.label = c->label,
                                                     .done = done,
                                                     .total = fv_loader_batches(loader),
                                                     .images = f->n,
                                                     .seconds = f->seconds,
                                                     .data_wait = fv_loader_wait_seconds(loader),
                                                     .due = done == fv_loader_batches(loader)});
        if (fv_report_stop(report) && done < fv_loader_batches(loader))
            return FV_FAIL(FV_ERR_INTERRUPTED, "stopped after %lld of %lld images", (long long)f->n,
                           (long long)total);
    }
    if (f->n > 0) return FV_OK;
    return FV_FAIL(FV_ERR_FORMAT, "%s: no image of the %s split can be read", c->dataset->root,
                   c->dataset->split);
}

fv_status fv_features_extract(const fv_features_config *c, const fv_report *report,
                              fv_features *out) {
    const int64_t n = c->dataset->n_samples;
    const int64_t wanted = c->batch_size < n ? c->batch_size : n;
    const int64_t pass = fv_model_pass_samples(c->model, wanted);
    const fv_loader_config config = {.dataset = c->dataset,
                                     .preprocess = c->preprocess,
                                     .workers = c->workers,
                                     .depth = fv_loader_depth(wanted, pass),
                                     .batch_size = pass,
                                     .max_bad = c->max_bad};
    fv_tape *tape = NULL;
    fv_loader *loader = NULL;

    *out = (fv_features){.dataset = c->dataset, .C = c->model->num_features};
    int64_t *order = fv_alloc((size_t)n, sizeof *order);
    out->x = fv_alloc((size_t)n, (size_t)out->C * sizeof *out->x);
    out->label = fv_alloc((size_t)n, sizeof *out->label);
    out->index = fv_alloc((size_t)n, sizeof *out->index);
    fv_status status = order && out->x && out->label && out->index ? FV_OK : FV_ERR_NOMEM;
    if (status == FV_OK) fv_sampler_sequence(n, order);
    if (status == FV_OK) status = fv_tape_create(&tape);
    if (status == FV_OK) status = fv_loader_create(&config, &loader);
    if (status == FV_OK) status = run(c, report, tape, loader, order, out);
    fv_loader_destroy(loader);
    fv_tape_destroy(tape);
    fv_free(order);
    return status;
}

void fv_features_free(fv_features *f) {
    fv_free(f->x);
    fv_free(f->label);
    fv_free(f->index);
    *f = (fv_features){0};
}

/* ---- file ---- */

static fv_status names_of(const fv_features *f, fv_arena *arena, char **text) {
    return fv_sample_names_json(f->dataset, f->index, f->n, arena, text);
}

fv_status fv_features_save(const fv_features *f, const fv_features *train, const char *path) {
    fv_safetensors_item items[4] = {
        {"features", {f->x, FV_F32, fv_shape_of(2, f->n, f->C)}},
        {"labels", {f->label, FV_I32, fv_shape_of(1, f->n)}},
    };
    fv_safetensors_meta meta[3];
    char *names = NULL, *classes = NULL, *train_names = NULL;
    fv_arena arena = {0};

    fv_status status = names_of(f, &arena, &names);
    if (status == FV_OK) status = fv_class_names_json(f->dataset, &arena, &classes);
    if (status == FV_OK && train) status = names_of(train, &arena, &train_names);
    meta[0] = (fv_safetensors_meta){"names", names};
    meta[1] = (fv_safetensors_meta){"classes", classes};
    meta[2] = (fv_safetensors_meta){"train_names", train_names};
    if (train) {
        items[2] = (fv_safetensors_item){"train_features",
                                         {train->x, FV_F32, fv_shape_of(2, train->n, train->C)}};
        items[3] =
            (fv_safetensors_item){"train_labels", {train->label, FV_I32, fv_shape_of(1, train->n)}};
    }
    if (status == FV_OK)
        status = fv_safetensors_save(path, items, train ? 4 : 2, meta, train ? 3 : 2);
    fv_arena_destroy(&arena);
    return status;
}
