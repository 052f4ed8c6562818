#include "eval/evaluate.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/parallel.h"
#include "data/sampler.h"

#include <math.h>

#define LOG_INTERVAL 50

struct fv_evaluator {
    fv_evaluator_config config;
    fv_tape *tape, *own_tape;
    fv_loader *loader;
    int64_t *order; /* 0 .. n_samples - 1 */
    /* Per sample, in the order they were seen. */
    double *loss, *confidence;
    bool *correct;
    int64_t *rank; /* of the label */
    int64_t count;
};

/* ---- one sample ---- */

int64_t fv_label_rank(const float *logits, int64_t n_classes, int32_t label) {
    const float z = logits[label];
    int64_t ahead = 0;

    for (int64_t k = 0; k < n_classes; k++)
        if (k != label && !(logits[k] < z) && !(logits[k] == z && k > label)) ahead++;
    return isnan(z) ? n_classes : ahead;
}

/* The largest logit, the lowest class of equals; a NaN wins, so that it shows in what follows. */
static int64_t largest(const float *logits, int64_t n_classes) {
    int64_t best = 0;

    for (int64_t k = 0; k < n_classes; k++) {
        if (isnan(logits[k])) return k;
        if (logits[k] > logits[best]) best = k;
    }
    return best;
}

/* sum_k exp(z_k - z_best) */
static double exp_sum(const float *logits, int64_t n_classes, int64_t best) {
    double sum = 0.0;

    for (int64_t k = 0; k < n_classes; k++) sum += exp((double)logits[k] - (double)logits[best]);
    return sum;
}

double fv_label_loss(const float *logits, int64_t n_classes, int32_t label) {
    const int64_t best = largest(logits, n_classes);
    const double z = (double)logits[label] - (double)logits[best];
    return log(exp_sum(logits, n_classes, best)) - z;
}

double fv_confidence(const float *logits, int64_t n_classes, int64_t *argmax) {
    *argmax = largest(logits, n_classes);
    return 1.0 / exp_sum(logits, n_classes, *argmax);
}

double fv_calibration_error(const double *confidence, const bool *correct, int64_t n) {
    double sum[FV_ECE_BINS] = {0}, right[FV_ECE_BINS] = {0}, error = 0.0;

    for (int64_t i = 0; i < n; i++) {
        const double c = confidence[i];
        if (isnan(c)) return c;
        /* bin b is ]b / B, (b + 1) / B] */
        int b = (int)ceil(c * FV_ECE_BINS) - 1;
        if (b < 0) b = 0;
        if (b >= FV_ECE_BINS) b = FV_ECE_BINS - 1;
        sum[b] += c;
        right[b] += correct[i];
    }
    for (int b = 0; b < FV_ECE_BINS; b++) error += fabs(right[b] - sum[b]);
    return n > 0 ? error / (double)n : 0.0;
}

/* ---- one batch ---- */

typedef struct measure_args {
    fv_evaluator *e;
    const fv_evaluated *batch;
} measure_args;

static void measure(int64_t i, void *arg) {
    const measure_args *a = arg;
    fv_evaluator *e = a->e;
    const int64_t K = a->batch->n_classes, at = e->count + i;
    const float *z = a->batch->logits + i * K;
    int64_t argmax;

    e->loss[at] = fv_label_loss(z, K, a->batch->labels[i]);
    e->rank[at] = fv_label_rank(z, K, a->batch->labels[i]);
    e->confidence[at] = fv_confidence(z, K, &argmax);
    e->correct[at] = e->rank[at] == 0;
}

static fv_status evaluate_batch(fv_evaluator *e, const fv_evaluate_options *options,
                                const fv_batch *batch) {
    const fv_model *model = e->config.model;
    const fv_tensor pixels = {
        batch->pixels, FV_F32,
        fv_shape_of(4, batch->n, model->input.height, model->input.width, (int64_t)3)};

    fv_tape_begin(e->tape, &(fv_step){.mode = FV_INFER,
                                      .bf16 = options->bf16,
                                      .samples = batch->n,
                                      .chunk_samples = fv_model_chunk_samples(model)});
    const fv_var *logits = fv_keep(fv_model_forward(model, fv_input(e->tape, &pixels, false)));
    FV_TRY(fv_tape_status(e->tape));
    if (logits->shape.rank != 2 || logits->shape.dim[0] != batch->n ||
        logits->shape.dim[1] != model->num_classes)
        return FV_FAIL(FV_ERR_INTERNAL, "%s: logits of another shape than [%lld, %lld]",
                       model->name, (long long)batch->n, (long long)model->num_classes);
    const fv_evaluated result = {.logits = logits->data,
                                 .labels = batch->labels,
                                 .index = batch->index,
                                 .n = batch->n,
                                 .n_classes = model->num_classes};
    fv_parallel(batch->n, measure, &(measure_args){e, &result});
    e->count += batch->n;
    return options->sink ? options->sink(options->sink_user, &result) : FV_OK;
}

/* ---- the whole set ---- */

/* Tells where the run stands; false when it is to end. */
static bool report_batch(const fv_evaluator *e, const fv_evaluate_options *options, int64_t done,
                         double begin, double waited) {
    const int64_t total = fv_loader_batches(e->loader);
    const int64_t interval = options->log_interval > 0 ? options->log_interval : LOG_INTERVAL;

    fv_report_progress(options->report,
                       &(fv_report_step){.label = options->label ? options->label : "Test",
                                         .done = done,
                                         .total = total,
                                         .images = e->count,
                                         .seconds = fv_clock_seconds() - begin,
                                         .data_wait = fv_loader_wait_seconds(e->loader) - waited,
                                         .due = done == total || done % interval == 0});
    return done == total || !fv_report_stop(options->report);
}

static fv_status run_batches(fv_evaluator *e, const fv_evaluate_options *options) {
    const int64_t total = e->config.dataset->n_samples;
    const double begin = fv_clock_seconds(), waited = fv_loader_wait_seconds(e->loader);
    const fv_batch *batch = NULL;

    FV_TRY(fv_loader_start(e->loader, &(fv_loader_epoch){.order = e->order, .n_order = total}));
    for (int64_t done = 1;; done++) {
        FV_TRY(fv_loader_next(e->loader, &batch));
        if (!batch) return FV_OK;
        if (batch->n_bad > 0)
            fv_report_warning(options->report, "left out: %s%s", batch->bad,
                              batch->n_bad > 1 ? " (and more of this batch)" : "");
        const fv_status status = evaluate_batch(e, options, batch);
        fv_batch_release(e->loader, batch);
        FV_TRY(status);
        if (!report_batch(e, options, done, begin, waited))
            return FV_FAIL(FV_ERR_INTERRUPTED, "evaluation stopped after %lld of %lld images",
                           (long long)e->count, (long long)total);
    }
}

static void summarise(const fv_evaluator *e, fv_evaluate_result *out) {
    int64_t top1 = 0, top5 = 0;
    double loss = 0.0;

    for (int64_t i = 0; i < e->count; i++) {
        top1 += e->rank[i] < 1;
        top5 += e->rank[i] < 5 && e->rank[i] < e->config.model->num_classes;
        loss += e->loss[i];
    }
    const double n = (double)e->count;
    out->top1 = 100.0 * (double)top1 / n;
    out->top5 = 100.0 * (double)top5 / n;
    out->loss = loss / n;
    out->ece = fv_calibration_error(e->confidence, e->correct, e->count);
    out->count = e->count;
    out->n_bad = fv_loader_bad(e->loader);
}

fv_status fv_evaluator_run(fv_evaluator *e, const fv_evaluate_options *options,
                           fv_evaluate_result *out) {
    static const fv_evaluate_options defaults = {0};
    const double begin = fv_clock_seconds();

    *out = (fv_evaluate_result){0};
    e->count = 0;
    FV_TRY(run_batches(e, options ? options : &defaults));
    if (e->count == 0)
        return FV_FAIL(FV_ERR_FORMAT, "%s: no image of the %s split can be read",
                       e->config.dataset->root, e->config.dataset->split);
    summarise(e, out);
    out->seconds = fv_clock_seconds() - begin;
    out->images_per_second = out->seconds > 0.0 ? (double)out->count / out->seconds : 0.0;
    return FV_OK;
}

/* ---- life ---- */

static fv_status check(const fv_evaluator_config *c) {
    const fv_model *model = c->model;

    if (c->batch_size < 1)
        return FV_FAIL(FV_ERR_CONFIG, "batch size %lld is less than 1", (long long)c->batch_size);
    if (c->dataset->n_classes != model->num_classes)
        return FV_FAIL(FV_ERR_CONFIG, "%s has %lld classes, the model %s has %lld",
                       c->dataset->root, (long long)c->dataset->n_classes, model->name,
                       (long long)model->num_classes);
    if (c->preprocess->img_h != model->input.height || c->preprocess->img_w != model->input.width)
        return FV_FAIL(FV_ERR_CONFIG,
                       "images of %lld x %lld pixels for the model %s of %lld x %lld",
                       (long long)c->preprocess->img_h, (long long)c->preprocess->img_w,
                       model->name, (long long)model->input.height, (long long)model->input.width);
    return FV_OK;
}

static fv_status create_parts(fv_evaluator *e) {
    const fv_evaluator_config *c = &e->config;
    const size_t n = (size_t)c->dataset->n_samples;
    const int64_t wanted = c->batch_size < (int64_t)n ? c->batch_size : (int64_t)n;
    const int64_t pass = fv_model_pass_samples(c->model, wanted);
    const fv_loader_config loader = {.dataset = c->dataset,
                                     .preprocess = c->preprocess,
                                     .workers = c->workers,
                                     .depth = fv_loader_depth(wanted, pass),
                                     .batch_size = pass,
                                     .max_bad = c->max_bad};

    e->order = fv_alloc(n, sizeof *e->order);
    e->loss = fv_alloc(n, sizeof *e->loss);
    e->confidence = fv_alloc(n, sizeof *e->confidence);
    e->correct = fv_alloc(n, sizeof *e->correct);
    e->rank = fv_alloc(n, sizeof *e->rank);
    if (!e->order || !e->loss || !e->confidence || !e->correct || !e->rank) return FV_ERR_NOMEM;
    fv_sampler_sequence((int64_t)n, e->order);
    e->tape = c->tape;
    if (!e->tape) FV_TRY(fv_tape_create(&e->own_tape));
    if (!e->tape) e->tape = e->own_tape;
    return fv_loader_create(&loader, &e->loader);
}

fv_status fv_evaluator_create(const fv_evaluator_config *config, fv_evaluator **out) {
    *out = NULL;
    FV_TRY(check(config));
    fv_evaluator *e = fv_calloc(1, sizeof *e);
    if (!e) return FV_ERR_NOMEM;
    e->config = *config;
    const fv_status status = create_parts(e);
    e->config.preprocess = NULL; /* the loader has its copy */
    if (status != FV_OK) {
        fv_evaluator_destroy(e);
        return status;
    }
    *out = e;
    return FV_OK;
}

void fv_evaluator_destroy(fv_evaluator *e) {
    if (!e) return;
    fv_loader_destroy(e->loader);
    fv_tape_destroy(e->own_tape);
    fv_free(e->order);
    fv_free(e->loss);
    fv_free(e->confidence);
    fv_free(e->correct);
    fv_free(e->rank);
    fv_free(e);
}

fv_status fv_evaluate(const fv_evaluator_config *config, const fv_evaluate_options *options,
                      fv_evaluate_result *out) {
    fv_evaluator *evaluator = NULL;

    *out = (fv_evaluate_result){0};
    fv_status status = fv_evaluator_create(config, &evaluator);
    if (status == FV_OK) status = fv_evaluator_run(evaluator, options, out);
    fv_evaluator_destroy(evaluator);
    return status;
}
