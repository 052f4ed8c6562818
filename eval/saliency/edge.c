/* edge.c - a baseline that knows the image and not the model: the Sobel magnitude of luminance,
 * sqrt(Gx^2 + Gy^2) with [1 2 1] x [-1 0 1], edges continued.  Luminance is .299 R + .587 G + .114 B of
 * pixels in 0 .. 1, for which the model's normalisation is undone. */
#include "eval/saliency/explain_run.h"

static void luminance(const fv_model_input *input, const float *x, int64_t n, double *out) {
    static const double share[3] = {0.299, 0.587, 0.114};

    for (int64_t i = 0; i < n; i++) {
        out[i] = 0.0;
        for (int c = 0; c < 3; c++)
            out[i] +=
                share[c] * ((double)x[3 * i + c] * (double)input->std[c] + (double)input->mean[c]);
    }
}

static void sobel(const double *v, int64_t H, int64_t W, float *out) {
    for (int64_t y = 0; y < H; y++)
        for (int64_t x = 0; x < W; x++) {
            const double *above = v + (y > 0 ? y - 1 : 0) * W, *here = v + y * W;
            const double *below = v + (y < H - 1 ? y + 1 : y) * W;
            const int64_t left = x > 0 ? x - 1 : 0, right = x < W - 1 ? x + 1 : x;
            const double gx = above[right] + 2.0 * here[right] + below[right] - above[left] -
                              2.0 * here[left] - below[left];
            const double gy = below[left] + 2.0 * below[x] + below[right] - above[left] -
                              2.0 * above[x] - above[right];
            out[y * W + x] = (float)sqrt(gx * gx + gy * gy);
        }
}

static fv_status run(fv_explain_run *r) {
    const int64_t n = r->H * r->W;
    double *grey = fv_arena_alloc(r->arena, (size_t)n, sizeof *grey);

    if (!grey) return FV_ERR_NOMEM;
    for (int64_t b = 0; b < r->B; b++) {
        luminance(&r->model->input, r->pixels + 3 * b * n, n, grey);
        sobel(grey, r->H, r->W, r->out[b].map);
    }
    return FV_OK;
}

const fv_saliency_method fv_saliency_edge = {
    .name = "edge",
    .summary = "baseline: the image's edges, whatever the model does",
    .source = "a baseline; the operator is Sobel's (1968)",
    .kind = FV_SALIENCY_MAP,
    .run = run};
