/* hirescam.c - sum_c g_{c,u} a_{c,u} (Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM"), with
 * its sign.  On a residual stream that is read through a layer norm only it is rounding noise: there the
 * sum is zero for every token, as the norm does not change with the scale of what it reads. */
#include "eval/saliency/cam.h"

static fv_status map(fv_explain_run *r, const float *a, const float *g, int64_t n, int64_t C,
                     float *out) {
    (void)r;
    for (int64_t u = 0; u < n; u++) {
        double sum = 0.0;
        for (int64_t c = u * C; c < (u + 1) * C; c++) sum += (double)g[c] * (double)a[c];
        out[u] = (float)sum;
    }
    return FV_OK;
}

static fv_status run(fv_explain_run *r) { return fv_cam_run(r, map); }

const fv_saliency_method fv_saliency_hirescam = {
    .name = "hirescam",
    .summary = "activations of a layer times their gradients, summed over channels",
    .source = "Draelos and Carin 2020, HiResCAM",
    .kind = FV_SALIENCY_GRID,
    .has_sign = true,
    .takes_layer = true,
    .prepare = fv_cam_prepare,
    .run = run};
