#include "train/bench/bench_data.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "data/dataset_settings.h"
#include "data/loader.h"
#include "train/bench/bench_common.h"
#include "train/stepper.h"
#include "train/train_input.h"

typedef struct bench {
    const fv_settings *settings;
    const fv_report *report;
    fv_model *model; /* without values */
    fv_dataset *dataset;
    fv_preprocess preprocess;
    fv_augment augment;
    fv_loader *loader;
    int64_t *order;
    uint8_t *repeat; /* NULL: one copy of each image */
    uint32_t epoch;  /* the next one */
    double *seconds; /* [steps] */
    double whole;    /* of all steps */
    int64_t images;  /* in them */
    int64_t pass;    /* images that come at once */
} bench;

static fv_status set_up(bench *b) {
    const fv_settings *s = b->settings;
    const fv_model_config config = fv_model_config_of(s);

    if (!s->data_dir[0])
        return FV_FAIL(FV_ERR_CONFIG, "bench data needs --data-dir, the folder of the data set");
    if (!s->model[0])
        return FV_FAIL(FV_ERR_CONFIG, "bench data needs --model or -c FILE for the size of images");
    FV_TRY(fv_model_describe(&config, &b->model));
    FV_TRY(fv_train_pixels(s, &b->model->input, &b->preprocess, &b->augment));
    FV_TRY(fv_dataset_open_settings(s, s->data_dir, s->train_split, FV_SPLIT_CHOSEN, &b->dataset));
    b->order = fv_alloc((size_t)b->dataset->n_samples, sizeof *b->order);
    b->seconds = fv_alloc((size_t)s->steps, sizeof *b->seconds);
    if (fv_train_repeats(s)) b->repeat = fv_alloc((size_t)b->dataset->n_samples, sizeof *b->repeat);
    if (!b->order || !b->seconds || (fv_train_repeats(s) && !b->repeat)) return FV_ERR_NOMEM;
    b->pass = fv_stepper_batch_size(b->model, s->batch_size);
    return fv_loader_create(&(fv_loader_config){.dataset = b->dataset,
                                                .preprocess = &b->preprocess,
                                                .augment = &b->augment,
                                                .seed = (uint64_t)s->seed,
                                                .workers = fv_loader_workers(s->workers),
                                                .depth = fv_loader_depth(s->batch_size, b->pass),
                                                .batch_size = b->pass,
                                                .max_bad = s->max_bad},
                            &b->loader);
}

static fv_status start_epoch(bench *b) {
    const int64_t n = b->dataset->n_samples;
    const int64_t effective_batch = b->settings->batch_size * b->settings->grad_accum_steps;
    const fv_loader_epoch epoch = {
        .epoch = b->epoch, .order = b->order, .repeat = b->repeat, .n_order = n};

    fv_train_order(b->settings, b->epoch, effective_batch, n, b->order, b->repeat);
    b->epoch++;
    return fv_loader_start(b->loader, &epoch);
}

/* The next batch; *n = its images. */
static fv_status step(bench *b, int64_t *n) {
    const fv_batch *batch = NULL;

    FV_TRY(fv_loader_next(b->loader, &batch));
    if (!batch) {
        FV_TRY(start_epoch(b));
        FV_TRY(fv_loader_next(b->loader, &batch));
    }
    if (!batch)
        return FV_FAIL(FV_ERR_FORMAT, "%s: no image of the %s split can be read", b->dataset->root,
                       b->dataset->split);
    *n = batch->n;
    fv_batch_release(b->loader, batch);
    return FV_OK;
}

static fv_status measure(bench *b) {
    const fv_settings *s = b->settings;
    double begin = fv_clock_seconds();

    FV_TRY(start_epoch(b));
    for (int64_t i = -s->warmup; i < s->steps; i++) {
        const double start = fv_clock_seconds();
        int64_t n;

        if (fv_report_stop(b->report)) return FV_FAIL(FV_ERR_INTERRUPTED, "interrupted");
        if (i == 0) begin = start;
        FV_TRY(step(b, &n));
        if (i < 0) continue;
        b->seconds[i] = fv_clock_seconds() - start;
        b->images += n;
    }
    b->whole = fv_clock_seconds() - begin;
    return FV_OK;
}

static fv_status run(bench *b, fv_arena *arena, fv_value *out) {
    const fv_settings *s = b->settings;

    FV_TRY(set_up(b));
    FV_TRY(measure(b));
    const double rate = (double)b->images / b->whole,
                 median = fv_bench_median(b->seconds, s->steps);
    fv_value_set(arena, out, "images_per_second", fv_value_real(arena, rate));
    fv_value_set(arena, out, "step_seconds", fv_value_real(arena, median));
    fv_value_set(arena, out, "images", fv_value_int(arena, b->dataset->n_samples));
    fv_value_set(arena, out, "pass_images", fv_value_int(arena, b->pass));
    fv_value_set(arena, out, "workers", fv_value_int(arena, fv_loader_workers(s->workers)));
    fv_value_set(arena, out, "peak_rss_mb", fv_value_real(arena, fv_bench_peak_rss_mb()));
    return FV_OK;
}

fv_status fv_bench_data(const fv_settings *settings, const fv_report *report, fv_arena *arena,
                        fv_value *out) {
    bench b = {.settings = settings, .report = report};

    const fv_status status = run(&b, arena, out);
    fv_loader_destroy(b.loader);
    fv_dataset_destroy(b.dataset);
    fv_model_destroy(b.model);
    fv_free(b.order);
    fv_free(b.repeat);
    fv_free(b.seconds);
    return status;
}
