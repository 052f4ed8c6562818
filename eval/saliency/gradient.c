/* gradient.c - how much the score changes with a pixel: max_c |g_c| (Simonyan et al. 2014, "Deep inside
 * convolutional networks", section 3.1), g = d score / d x, or sum_c |g_c|. */
#include "eval/saliency/gradient.h"

#include "eval/saliency/explain_run.h"

#include <math.h>
#include <string.h>

void fv_gradient_map(const float *g, int64_t n, bool sum, float *map) {
    for (int64_t i = 0; i < n; i++) {
        const float red = fabsf(g[3 * i]), green = fabsf(g[3 * i + 1]), blue = fabsf(g[3 * i + 2]);
        map[i] = sum ? red + green + blue : fmaxf(red, fmaxf(green, blue));
    }
}

static fv_status run(fv_explain_run *r) {
    const int64_t n = r->H * r->W;
    const bool sum = strcmp(r->choice->variant, "sum") == 0;

    FV_TRY(fv_explain_backward(r, r->weight));
    const float *g = r->x->grad.data;
    for (int64_t b = 0; g && b < r->B; b++) /* without g the score does not depend on the pixels */
        fv_gradient_map(g + 3 * b * n, n, sum, r->out[b].map);
    return FV_OK;
}

static const char *const variants[] = {"max", "sum", NULL};

const fv_saliency_method fv_saliency_gradient = {
    .name = "gradient",
    .summary = "magnitude of the score's gradient; over channels the largest, or the sum",
    .source = "Simonyan et al. 2014, Deep Inside Convolutional Networks",
    .variants = variants,
    .kind = FV_SALIENCY_MAP,
    .run = run};
