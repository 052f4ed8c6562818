#include "eval/saliency/explain.h"

#include "core/alloc.h"
#include "eval/predict.h"
#include "eval/saliency/default_layer.h"
#include "eval/saliency/explain_run.h"
#include "eval/saliency/upsample.h"

#include <math.h>
#include <string.h>

#define MAX_IMAGES 8 /* of one pass, by default */

/* Target, its logit and softmax probability. */
static fv_status choose_target(const fv_explain_run *run, const float *z, int64_t asked,
                               fv_explanation *out) {
    int64_t best = 0;

    if (asked >= run->K)
        return FV_FAIL(FV_ERR_CONFIG, "class %lld does not exist: the model has %lld classes",
                       (long long)asked, (long long)run->K);
    for (int64_t k = 1; k < run->K; k++)
        if (z[k] > z[best]) best = k;
    out->target = asked < 0 ? best : asked;
    out->logit = z[out->target];
    out->probability = (float)fv_class_probability(z, run->K, out->target);
    if (!isfinite(out->probability))
        return FV_FAIL(FV_ERR_NONFINITE, "the model's logits are not finite");
    return FV_OK;
}

/* The weights of the logits in the explained score. */
static fv_status weigh(const fv_explain_run *run, int64_t target, int64_t against, float *weight) {
    if (against >= run->K)
        return FV_FAIL(FV_ERR_CONFIG, "class %lld does not exist: the model has %lld classes",
                       (long long)against, (long long)run->K);
    if (against == target)
        return FV_FAIL(FV_ERR_CONFIG, "class %lld against itself explains nothing",
                       (long long)target);
    if (against == FV_AGAINST_OTHERS && run->K > 1)
        for (int64_t k = 0; k < run->K; k++) weight[k] = -1.0f / (float)(run->K - 1);
    if (against >= 0) weight[against] = -1.0f;
    weight[target] = 1.0f;
    return FV_OK;
}

static fv_status choose_targets(const fv_explain_run *run, const fv_explain_request *request,
                                int64_t *target, float *weight) {
    const float *logits = run->logits->data;

    for (int64_t b = 0; b < run->B; b++) {
        fv_explanation *e = &run->out[b];
        const float *z = logits + b * run->K;
        FV_TRY(choose_target(run, z, request->target ? request->target[b] : -1, e));
        FV_TRY(weigh(run, e->target, request->against, weight + b * run->K));
        target[b] = e->target;
        e->score = (float)fv_explain_score(run, b, z);
    }
    return FV_OK;
}

static fv_status allocate(const fv_explain_run *run) {
    const size_t n = (size_t)(run->H * run->W);
    const bool pixels = run->choice->method->kind == FV_SALIENCY_PIXELS;

    for (int64_t b = 0; b < run->B; b++) {
        fv_explanation *e = &run->out[b];
        e->height = run->H;
        e->width = run->W;
        e->map = fv_calloc(n, sizeof *e->map);
        if (pixels) e->relevance = fv_calloc(3 * n, sizeof *e->relevance);
        if (!e->map || (pixels && !e->relevance)) return FV_ERR_NOMEM;
    }
    return FV_OK;
}

static void make_map(const fv_explain_run *run, fv_explanation *e) {
    if (run->choice->method->kind == FV_SALIENCY_GRID && e->grid)
        fv_upsample(e->grid, e->grid_h, e->grid_w, e->map, e->height, e->width);
    for (int64_t i = 0; e->relevance && i < e->height * e->width; i++)
        e->map[i] = e->relevance[3 * i] + e->relevance[3 * i + 1] + e->relevance[3 * i + 2];
}

/* The logits can be finite where a gradient overflows. */
static fv_status check(const fv_explanation *e) {
    const fv_account *a = &e->account;
    const int64_t n = e->height * e->width;

    if (!fv_kernel()->all_finite(n, e->map) ||
        (e->relevance && !fv_kernel()->all_finite(3 * n, e->relevance)))
        return FV_FAIL(FV_ERR_NONFINITE, "the relevance of the pixels is not finite");
    if (!e->has_account || fv_conservation_error(a) <= FV_ACCOUNT_TOLERANCE) return FV_OK;
    return FV_FAIL(FV_ERR_INTERNAL,
                   "relevance does not add up: %.3g end to end, %.3g at %s (tolerance %.0e)",
                   a->end_to_end, a->worst_op, a->worst_op_name, FV_ACCOUNT_TOLERANCE);
}

static fv_status explain(fv_explain_run *run, const fv_explain_request *request) {
    const fv_saliency_method *method = run->choice->method;
    const size_t B = (size_t)run->B;
    int64_t *target = fv_arena_calloc(run->arena, B, sizeof *target);
    float *weight = fv_arena_calloc(run->arena, B * (size_t)run->K, sizeof *weight);

    if (!target || !weight) return FV_ERR_NOMEM;
    if (fv_saliency_trains(run->choice) && !run->model->params.grad.base)
        return FV_FAIL(FV_ERR_CONFIG, "%s: the model was opened without gradients",
                       run->choice->text);
    FV_TRY(allocate(run));
    if (method->takes_layer) {
        const char *text = run->choice->layer;
        FV_TRY(fv_explain_resolve_layers(
            run, text ? text : fv_saliency_default_layer(run->choice, run->model)));
    }
    if (method->prepare) FV_TRY(method->prepare(run));
    FV_TRY(fv_explain_record(run, run->pixels, run->B));
    run->target = target;
    run->weight = weight;
    FV_TRY(choose_targets(run, request, target, weight));
    FV_TRY(method->run(run));
    for (int64_t b = 0; b < run->B; b++) {
        make_map(run, &run->out[b]);
        FV_TRY(check(&run->out[b]));
    }
    return FV_OK;
}

fv_status fv_explain(fv_tape *tape, const fv_model *model, const float *pixels, int64_t B,
                     const fv_explain_request *request, fv_explanation out[]) {
    fv_arena arena = {0};
    fv_explain_run run = {.tape = tape,
                          .model = model,
                          .choice = request->choice,
                          .B = B,
                          .H = model->input.height,
                          .W = model->input.width,
                          .K = model->num_classes,
                          .pixels = pixels,
                          .seed = request->seed,
                          .max_images = request->max_images > 0 ? request->max_images : MAX_IMAGES,
                          .out = out,
                          .arena = &arena};

    for (int64_t b = 0; b < B; b++) out[b] = (fv_explanation){0};
    const fv_status status = explain(&run, request);
    fv_tape_clear_watches(tape);
    fv_arena_destroy(&arena);
    for (int64_t b = 0; status != FV_OK && b < B; b++) fv_explanation_destroy(&out[b]);
    return status;
}

void fv_explanation_destroy(fv_explanation *e) {
    fv_free(e->relevance);
    fv_free(e->map);
    fv_free(e->grid);
    e->relevance = e->map = e->grid = NULL;
}

/* Not fmax: a NaN must not hide behind a number. */
double fv_conservation_error(const fv_account *account) {
    const double a = account->end_to_end, b = account->worst_op;
    return isnan(a) || a >= b ? a : b;
}
