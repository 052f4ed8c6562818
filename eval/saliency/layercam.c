/* layercam.c - (sum_c g_{c,u}^+ a_{c,u})^+ (Jiang et al. 2021, "LayerCAM"). */
#include "eval/saliency/cam.h"

static fv_status map(fv_explain_run *r, const float *a, const float *g, int64_t n, int64_t C,
                     float *out) {
    (void)r;
    for (int64_t u = 0; u < n; u++) {
        double sum = 0.0;
        for (int64_t c = u * C; c < (u + 1) * C; c++)
            if (g[c] > 0.0f) sum += (double)g[c] * (double)a[c];
        out[u] = sum > 0.0 ? (float)sum : 0.0f;
    }
    return FV_OK;
}

static fv_status run(fv_explain_run *r) { return fv_cam_run(r, map); }

const fv_saliency_method fv_saliency_layercam = {
    .name = "layercam",
    .summary = "activations of a layer, weighted with their positive gradients",
    .source = "Jiang et al. 2021, LayerCAM",
    .kind = FV_SALIENCY_GRID,
    .takes_layer = true,
    .prepare = fv_cam_prepare,
    .run = run};
