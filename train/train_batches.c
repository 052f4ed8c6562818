#include "train/train_batches.h"

#include "core/alloc.h"
#include "data/dataset_settings.h"
#include "data/sampler.h"

#include <string.h>

/* What loading works with beside the result. */
typedef struct job {
    const fv_settings *settings;
    fv_train_batches_range range;
    const fv_report *report;
    fv_augment augment;
    fv_mixup_config mixup;
    fv_loader *loader;
    int64_t *order;
    uint8_t *repeat;
    int64_t updates; /* of an epoch */
} job;

static fv_status describe(job *j, fv_train_batches *b) {
    const fv_settings *s = j->settings;

    if (!s->model[0])
        return FV_FAIL(FV_ERR_CONFIG,
                       "--model or -c FILE is needed: it says how large images are and how they "
                       "are normalised");
    if (!s->data_dir[0])
        return FV_FAIL(FV_ERR_CONFIG, "--data-dir is needed, the folder of the data set");
    const fv_model_config config = fv_model_config_of(s);
    FV_TRY(fv_model_describe(&config, &b->model));
    FV_TRY(fv_train_mixing(s, &j->mixup));
    FV_TRY(fv_train_pixels(s, &b->model->input, &b->preprocess, &j->augment));
    FV_TRY(fv_dataset_open_settings(s, s->data_dir, s->train_split, FV_SPLIT_CHOSEN, &b->dataset));
    b->classes = b->dataset->n_classes;
    b->effective_batch = s->batch_size * s->grad_accum_steps;
    j->updates = fv_sampler_updates(b->dataset->n_samples, b->effective_batch);
    if (j->range.count >= 1 && j->range.first + j->range.count <= j->updates) return FV_OK;
    return FV_FAIL(FV_ERR_CONFIG,
                   "updates %lld..%lld of an epoch of %lld: %s has %lld training images for "
                   "batches of %lld",
                   (long long)j->range.first, (long long)(j->range.first + j->range.count - 1),
                   (long long)j->updates, s->data_dir, (long long)b->dataset->n_samples,
                   (long long)b->effective_batch);
}

static fv_status allocate(job *j, fv_train_batches *b) {
    const size_t n = (size_t)(j->range.count * b->effective_batch);
    const size_t image = (size_t)(b->preprocess.img_h * b->preprocess.img_w * 3);
    const size_t n_samples = (size_t)b->dataset->n_samples;

    j->order = fv_alloc(n_samples, sizeof *j->order);
    if (fv_train_repeats(j->settings)) {
        j->repeat = fv_alloc(n_samples, sizeof *j->repeat);
        if (!j->repeat) return FV_ERR_NOMEM;
    }
    b->pixels = fv_alloc(n, image * sizeof *b->pixels);
    b->labels = fv_alloc(n, sizeof *b->labels);
    b->index = fv_alloc(n, sizeof *b->index);
    if (!j->order || !b->pixels || !b->labels || !b->index) return FV_ERR_NOMEM;
    if (!fv_train_has_targets(j->settings, &j->mixup)) return FV_OK;
    b->targets = fv_alloc(n, (size_t)b->classes * sizeof *b->targets);
    return b->targets ? FV_OK : FV_ERR_NOMEM;
}

static fv_status start(job *j, const fv_train_batches *b) {
    const fv_settings *s = j->settings;

    FV_TRY(fv_loader_create(&(fv_loader_config){.dataset = b->dataset,
                                                .preprocess = &b->preprocess,
                                                .augment = &j->augment,
                                                .seed = (uint64_t)s->seed,
                                                .workers = fv_loader_workers(s->workers),
                                                .batch_size = b->effective_batch,
                                                .max_bad = s->max_bad},
                            &j->loader));
    fv_train_order(s, (uint32_t)j->range.epoch, b->effective_batch, b->dataset->n_samples, j->order,
                   j->repeat);
    const int64_t first = j->range.first * b->effective_batch;
    return fv_loader_start(j->loader,
                           &(fv_loader_epoch){.epoch = (uint32_t)j->range.epoch,
                                              .order = j->order,
                                              .repeat = j->repeat,
                                              .n_order = b->dataset->n_samples,
                                              .first = first,
                                              .end = first + j->range.count * b->effective_batch,
                                              .group = b->effective_batch});
}

static fv_status take(job *j, fv_train_batches *b) {
    const int64_t image = b->preprocess.img_h * b->preprocess.img_w * 3;

    for (int64_t k = 0; k < j->range.count; k++) {
        const fv_batch *batch = NULL;
        FV_TRY(fv_loader_next(j->loader, &batch));
        if (!batch || batch->n != b->effective_batch)
            return FV_FAIL(FV_ERR_INTERNAL, "the loader ended before the epoch");
        if (batch->n_bad > 0) fv_report_warning(j->report, "%s", batch->bad);
        const fv_train_place place = {j->range.epoch,
                                      j->range.epoch * j->updates + j->range.first + k};
        if (b->targets)
            fv_train_mix(j->settings, &j->mixup, place, &b->model->input, b->classes, batch,
                         b->targets + b->n * b->classes);
        memcpy(b->pixels + b->n * image, batch->pixels,
               (size_t)(batch->n * image) * sizeof *b->pixels);
        memcpy(b->labels + b->n, batch->labels, (size_t)batch->n * sizeof *b->labels);
        memcpy(b->index + b->n, batch->index, (size_t)batch->n * sizeof *b->index);
        b->n += batch->n;
        fv_batch_release(j->loader, batch);
    }
    return FV_OK;
}

fv_status fv_train_batches_load(const fv_settings *settings, fv_train_batches_range range,
                                const fv_report *report, fv_train_batches *out) {
    job j = {.settings = settings, .range = range, .report = report};

    *out = (fv_train_batches){0};
    fv_status status = describe(&j, out);
    if (status == FV_OK) status = allocate(&j, out);
    if (status == FV_OK) status = start(&j, out);
    if (status == FV_OK) status = take(&j, out);
    fv_loader_destroy(j.loader);
    fv_free(j.order);
    fv_free(j.repeat);
    return status;
}

void fv_train_batches_free(fv_train_batches *b) {
    fv_free(b->pixels);
    fv_free(b->labels);
    fv_free(b->index);
    fv_free(b->targets);
    fv_dataset_destroy(b->dataset);
    fv_model_destroy(b->model);
    *b = (fv_train_batches){0};
}
