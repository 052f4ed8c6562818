/* metric_insertion.c - a blurred image turns into the image, most relevant pixels first (Petsiuk et al.
 * 2018).  The blur is an 11x11 Gaussian of sigma 5, truncated, with replicated borders; insertion_compat
 * takes the RISE authors' program instead: a folded kernel and zeros outside. */
#include "core/alloc.h"
#include "eval/ranking.h"
#include "eval/saliency/blur.h"
#include "eval/saliency/metric.h"
#include "eval/saliency/perturbation.h"

#define KERNEL 11
#define SIGMA  5.0

static const fv_metric_value values[] = {
    {"insertion_auc", "area under the curve, most relevant pixels first", true}, {0}};

enum { STEP, COMPAT };
static const fv_metric_option options[] = {
    [STEP] = {"insertion_step", 0, "pixels per step, 0: the width of the image"},
    [COMPAT] = {"insertion_compat", 0, "1: the blur of the RISE authors' program"},
    {0}};

static fv_status start_from(const fv_metric_context *c, float *blurred) {
    double kernel[KERNEL];
    const bool compat = fv_metric_get(c, &options[COMPAT]) != 0.0;

    if (compat)
        fv_folded_gaussian_kernel(KERNEL, SIGMA, kernel);
    else
        fv_gaussian_kernel(KERNEL, SIGMA, kernel);
    return fv_blur(c->pixels, c->height, c->width, 3, kernel, KERNEL,
                   compat ? FV_BLUR_ZERO : FV_BLUR_REPLICATE, blurred);
}

static fv_status run(const fv_metric_context *c, double *out) {
    const int64_t n = c->height * c->width;
    int64_t step, *order = NULL;
    float *blurred = NULL, *probability = NULL;

    FV_TRY(fv_metric_get_count(c, &options[STEP], c->width, &step));
    fv_curve curve = {.to = c->pixels, .n_pixels = n, .step = step};
    const int64_t steps = fv_curve_steps(&curve);
    fv_status status = FV_ERR_NOMEM;
    order = fv_alloc((size_t)n, sizeof *order);
    blurred = fv_alloc(3 * (size_t)n, sizeof *blurred);
    probability = fv_alloc((size_t)steps + 1, sizeof *probability);
    if (!order || !blurred || !probability) goto cleanup;
    curve.from = blurred;
    curve.order = order;

    status = start_from(c, blurred);
    if (status == FV_OK) status = fv_order_descending(c->map, n, order);
    if (status == FV_OK) status = fv_curve_run(&curve, &c->scorer, probability);
    if (status == FV_OK) out[0] = fv_curve_auc(probability, steps);
cleanup:
    fv_free(probability);
    fv_free(blurred);
    fv_free(order);
    return status;
}

const fv_metric fv_metric_insertion = {
    .name = "insertion",
    .summary = "probability while the blurred image turns into the image",
    .needs = FV_METRIC_SCORER,
    .values = values,
    .options = options,
    .run = run};
