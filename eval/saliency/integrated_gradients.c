#include "eval/saliency/integrated_gradients.h"

#include "eval/saliency/copies.h"
#include "eval/saliency/quadrature.h"
#include "eval/saliency/reference_image.h"

#include <math.h>
#include <string.h>

#define DOUBLINGS 5 /* of the steps, to reach the tolerance */

/* ---- one reference ---- */

typedef struct path {
    const fv_explain_run *run;
    int64_t image, size, steps;
    const float *x, *x0;
    double *at, *weight; /* [steps] */
    double *sum;         /* [size] of weighted gradients */
    double score0;
} path;

/* Copy number `steps` is the reference itself. */
static void make(void *user, int64_t k, float *pixels) {
    const path *p = user;
    const double a = k < p->steps ? p->at[k] : 0.0;

    for (int64_t i = 0; i < p->size; i++) {
        const double from = (double)p->x0[i];
        pixels[i] = (float)(from + a * ((double)p->x[i] - from));
    }
}

static void take(void *user, int64_t k, const float *logits, const float *gradient) {
    path *p = user;

    if (k == p->steps) p->score0 = fv_explain_score(p->run, p->image, logits);
    for (int64_t i = 0; k < p->steps && i < p->size; i++)
        p->sum[i] += p->weight[k] * (double)gradient[i];
}

fv_status fv_integrated_gradients(fv_explain_run *r, int64_t b, const float *x0, int64_t steps,
                                  bool midpoint, double *relevance, double *score0) {
    const fv_arena_mark mark = fv_arena_get_mark(r->arena);
    const int64_t size = 3 * r->H * r->W;
    path p = {.run = r,
              .image = b,
              .size = size,
              .steps = steps,
              .x = r->pixels + b * size,
              .x0 = x0,
              .at = fv_arena_alloc(r->arena, (size_t)steps, sizeof(double)),
              .weight = fv_arena_alloc(r->arena, (size_t)steps, sizeof(double)),
              .sum = relevance};
    const fv_copies copies = {
        .image = b, .count = steps + 1, .gradients = true, .user = &p, .make = make, .take = take};

    if (!p.at || !p.weight) return FV_ERR_NOMEM;
    if (midpoint)
        fv_quadrature_midpoint(steps, p.at, p.weight);
    else
        fv_quadrature_gauss_legendre(steps, p.at, p.weight);
    memset(relevance, 0, (size_t)size * sizeof *relevance);
    FV_TRY(fv_copies_run(r, &copies));
    for (int64_t i = 0; i < size; i++) relevance[i] *= (double)p.x[i] - (double)x0[i];
    *score0 = p.score0;
    fv_arena_rewind(r->arena, mark);
    return FV_OK;
}

/* ---- the method ---- */

static const char *const variants[] = {"mean", "black", "blur", "average", NULL};

/* In the order of the variants; the last is the mean over those before it. */
static const fv_reference references[] = {FV_REFERENCE_MEAN, FV_REFERENCE_BLACK, FV_REFERENCE_BLUR};

#define REFERENCES ((int)(sizeof references / sizeof *references))

typedef struct result {
    double *relevance, *part; /* [3HW]; part: of one reference */
    float *x0;                /* [H,W,3] */
    double delta;             /* what is missing of, or too much for, completeness */
    double change;            /* score(x) - score(x0) */
} result;

/* The mean over references first .. last - 1. */
static fv_status explain(fv_explain_run *r, int64_t b, double score, int64_t steps, int first,
                         int last, result *out) {
    const int64_t size = 3 * r->H * r->W;
    const bool midpoint = fv_saliency_number(r->choice, "midpoint") > 0.0;
    const double share = 1.0 / (double)(last - first);
    double total = 0.0;

    memset(out->relevance, 0, (size_t)size * sizeof *out->relevance);
    out->change = score;
    for (int i = first; i < last; i++) {
        double score0;
        fv_reference_image(references[i], &r->model->input, r->pixels + b * size, r->H, r->W,
                           out->x0);
        FV_TRY(fv_integrated_gradients(r, b, out->x0, steps, midpoint, out->part, &score0));
        for (int64_t k = 0; k < size; k++) out->relevance[k] += share * out->part[k];
        out->change -= share * score0;
    }
    for (int64_t k = 0; k < size; k++) total += out->relevance[k];
    out->delta = total - out->change;
    return FV_OK;
}

/* More steps until the relative delta is below the tolerance.  It need not fall with every one. */
static fv_status explain_image(fv_explain_run *r, int64_t b, double score, result *out) {
    const double tolerance = fv_saliency_number(r->choice, "tolerance");
    int64_t steps = (int64_t)fv_saliency_number(r->choice, "steps");
    fv_explanation *e = &r->out[b];
    int first = 0, last = REFERENCES;

    for (int i = 0; i < REFERENCES; i++)
        if (strcmp(variants[i], r->choice->variant) == 0) {
            first = i;
            last = i + 1;
        }
    FV_TRY(explain(r, b, score, steps, first, last, out));
    for (int i = 0; i < DOUBLINGS && fabs(out->delta) > tolerance * fabs(out->change); i++) {
        if (tolerance <= 0.0) break;
        steps *= 2;
        FV_TRY(explain(r, b, score, steps, first, last, out));
    }
    fv_explanation_number(e, "delta", out->delta);
    if (out->change != 0.0)
        fv_explanation_number(e, "relative_delta", out->delta / fabs(out->change));
    fv_explanation_number(e, "steps", (double)steps);
    if (tolerance > 0.0 && fabs(out->delta) > tolerance * fabs(out->change))
        fv_explanation_warn(e, "the sum is off by %.3g of the score's change after %lld steps",
                            out->change != 0.0 ? fabs(out->delta / out->change) : fabs(out->delta),
                            (long long)steps);
    for (int64_t i = 0; i < 3 * r->H * r->W; i++) e->relevance[i] = (float)out->relevance[i];
    return FV_OK;
}

static fv_status run(fv_explain_run *r) {
    const size_t size = (size_t)(3 * r->H * r->W);
    double *score = fv_arena_alloc(r->arena, (size_t)r->B, sizeof *score);
    result out = {.relevance = fv_arena_alloc(r->arena, size, sizeof(double)),
                  .part = fv_arena_alloc(r->arena, size, sizeof(double)),
                  .x0 = fv_arena_alloc(r->arena, size, sizeof(float))};

    if (!score || !out.relevance || !out.part || !out.x0) return FV_ERR_NOMEM;
    const float *logits = r->logits->data; /* until the first pass of its own */
    for (int64_t b = 0; b < r->B; b++) score[b] = fv_explain_score(r, b, logits + b * r->K);
    for (int64_t b = 0; b < r->B; b++) FV_TRY(explain_image(r, b, score[b], &out));
    return FV_OK;
}

static const fv_saliency_param params[] = {
    {.name = "steps",
     .initial = 50,
     .min = 1,
     .max = 10000,
     .integer = true,
     .help = "gradients along the path"},
    {.name = "midpoint",
     .initial = 0,
     .min = 0,
     .max = 1,
     .integer = true,
     .help = "1: at the middles of equal parts, not at Gauss and Legendre's points"},
    {.name = "tolerance",
     .initial = 0,
     .min = 0,
     .max = 1,
     .help = "double the steps, up to 5 times, until relative_delta is below; 0: never"},
    {0}};

const fv_saliency_method fv_saliency_integrated_gradients = {
    .name = "integrated_gradients",
    .summary =
        "gradients along the path from a reference: the mean colour, black, a blurred image, "
        "or the average of the three",
    .source = "Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks",
    .variants = variants,
    .params = params,
    .kind = FV_SALIENCY_PIXELS,
    .has_sign = true,
    .run = run};
