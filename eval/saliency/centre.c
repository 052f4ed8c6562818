/* centre.c - a baseline that knows neither model nor image: a Gaussian in the middle, with a standard
 * deviation of a quarter of each side.  Objects in photographs tend to be there. */
#include "eval/saliency/explain_run.h"

static double square(double v) { return v * v; }

static fv_status run(fv_explain_run *r) {
    const double H = (double)r->H, W = (double)r->W;

    for (int64_t b = 0; b < r->B; b++)
        for (int64_t i = 0; i < r->H * r->W; i++) {
            const double y = ((double)(i / r->W) + 0.5 - H / 2.0) / (H / 4.0);
            const double x = ((double)(i % r->W) + 0.5 - W / 2.0) / (W / 4.0);
            r->out[b].map[i] = (float)exp(-0.5 * (square(y) + square(x)));
        }
    return FV_OK;
}

const fv_saliency_method fv_saliency_centre = {
    .name = "centre",
    .summary = "baseline: a Gaussian in the middle of the image, whatever it shows",
    .source = "a baseline, no paper",
    .kind = FV_SALIENCY_MAP,
    .run = run};
