/* metric_deletion.c - pixels turn to the mean colour, in the order of the map.
 *
 * deletion_auc: area under the probability's curve, most relevant pixels first (Petsiuk et al. 2018).
 * mif, lif: means over the states after each step, most and least important pixels first; their
 * difference, the symmetric gain (Bluecher et al. 2024), cancels what the unnatural images do to any
 * order of pixels. */
#include "core/alloc.h"
#include "eval/ranking.h"
#include "eval/saliency/metric.h"
#include "eval/saliency/perturbation.h"

static const fv_metric_value values[] = {
    {"deletion_auc", "area under the curve, most relevant pixels first", false},
    {"mif", "mean probability, most important pixels first", false},
    {"lif", "mean probability, least important pixels first", true},
    {"symmetric_gain", "lif - mif", true},
    {0}};

static const fv_metric_option options[] = {
    {"deletion_step", 0, "pixels per step, 0: the width of the image"}, {0}};

static fv_status run(const fv_metric_context *c, double *out) {
    const int64_t n = c->height * c->width;
    int64_t step, *order = NULL;
    float *mean_colour = NULL, *probability = NULL;

    FV_TRY(fv_metric_get_count(c, &options[0], c->width, &step));
    fv_curve curve = {.from = c->pixels, .n_pixels = n, .step = step};
    const int64_t steps = fv_curve_steps(&curve);
    fv_status status = FV_ERR_NOMEM;
    order = fv_alloc((size_t)n, sizeof *order);
    mean_colour = fv_calloc(3 * (size_t)n, sizeof *mean_colour);
    probability = fv_alloc((size_t)steps + 1, sizeof *probability);
    if (!order || !mean_colour || !probability) goto cleanup;
    curve.to = mean_colour;
    curve.order = order;

    status = fv_order_descending(c->map, n, order);
    if (status == FV_OK) status = fv_curve_run(&curve, &c->scorer, probability);
    if (status != FV_OK) goto cleanup;
    out[0] = fv_curve_auc(probability, steps);
    out[1] = fv_curve_mean(probability, steps);

    status = fv_order_ascending(c->map, n, order);
    if (status == FV_OK) status = fv_curve_run(&curve, &c->scorer, probability);
    if (status != FV_OK) goto cleanup;
    out[2] = fv_curve_mean(probability, steps);
    out[3] = out[2] - out[1];
cleanup:
    fv_free(probability);
    fv_free(mean_colour);
    fv_free(order);
    return status;
}

const fv_metric fv_metric_deletion = {
    .name = "deletion",
    .summary = "probability while pixels turn to the mean colour, both orders",
    .needs = FV_METRIC_SCORER,
    .values = values,
    .options = options,
    .run = run};
