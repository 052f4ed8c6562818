/* gradcam.c - (sum_c w_c a_{c,u})^+, w_c = mean_u g_{c,u} (Selvaraju et al. 2017, "Grad-CAM", equations 1
 * and 2), over the positions of the grid. */
#include "eval/saliency/cam.h"

static fv_status map(fv_explain_run *r, const float *a, const float *g, int64_t n, int64_t C,
                     float *out) {
    const fv_arena_mark mark = fv_arena_get_mark(r->arena);
    double *w = fv_arena_calloc(r->arena, (size_t)C, sizeof *w);

    if (!w) return FV_ERR_NOMEM;
    for (int64_t u = 0; u < n; u++)
        for (int64_t c = 0; c < C; c++) w[c] += (double)g[u * C + c] / (double)n;
    for (int64_t u = 0; u < n; u++) {
        double sum = 0.0;
        for (int64_t c = 0; c < C; c++) sum += w[c] * (double)a[u * C + c];
        out[u] = sum > 0.0 ? (float)sum : 0.0f;
    }
    fv_arena_rewind(r->arena, mark);
    return FV_OK;
}

static fv_status run(fv_explain_run *r) { return fv_cam_run(r, map); }

const fv_saliency_method fv_saliency_gradcam = {
    .name = "gradcam",
    .summary = "activations of a layer, each channel weighted with its mean gradient",
    .source = "Selvaraju et al. 2017, Grad-CAM",
    .kind = FV_SALIENCY_GRID,
    .takes_layer = true,
    .prepare = fv_cam_prepare,
    .run = run};
