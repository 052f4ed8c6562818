#include "core/ops/halo.h"

#include "core/ops/param_sum.h"

#include <inttypes.h>
#include <string.h>

fv_status fv_halo_init(fv_halo *g, const char *who, int64_t H, int64_t W, int64_t block,
                       int64_t halo) {
    if (block < 1 || halo < 0 || H % block || W % block)
        return FV_FAIL(FV_ERR_SHAPE,
                       "%s: %" PRId64 "x%" PRId64 " map, block %" PRId64 ", halo %" PRId64, who, H,
                       W, block, halo);
    *g = (fv_halo){H, W, block, halo, block + 2 * halo, H / block, W / block};
    return FV_OK;
}

int64_t fv_halo_pixel(const fv_halo *g, int64_t block, int64_t i) {
    const int64_t row = block / g->across * g->block - g->halo + i / g->window;
    const int64_t col = block % g->across * g->block - g->halo + i % g->window;
    return row >= 0 && row < g->H && col >= 0 && col < g->W ? row * g->W + col : -1;
}

void fv_rel_pack(const fv_rel *g, const float *height, const float *width, fv_dtype dtype,
                 void *T) {
    const int64_t n = g->P * g->dk, skip = (g->w - g->bq) * g->dk;

    if (dtype == FV_BF16) {
        fv_kernel()->to_bf16(n, height + skip, T);
        fv_kernel()->to_bf16(n, width + skip, (fv_bf16 *)T + n);
    } else {
        memcpy(T, height + skip, (size_t)n * sizeof(float));
        memcpy((float *)T + n, width + skip, (size_t)n * sizeof(float));
    }
}

void fv_rel_add(const fv_rel *g, const float *R, float *logits) {
    const int64_t w = g->w;

    for (int64_t i = 0; i < g->bq; i++)
        for (int64_t j = 0; j < g->bq; j++, R += 2 * g->P) {
            const float *height = R + g->bq - 1 - i, *width = R + g->P + g->bq - 1 - j;
            for (int64_t y = 0; y < w; y++, logits += w)
                for (int64_t x = 0; x < w; x++) logits[x] += height[y] + width[x];
        }
}

/* Sum of n values in four lanes: the order is fixed, the additions overlap. */
static float sum(int64_t n, const float *v) {
    float lane[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    int64_t i = 0;

    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) lane[k] += v[i + k];
    for (; i < n; i++) lane[0] += v[i];
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

void fv_rel_sum(const fv_rel *g, const float *dlogits, float *dR) {
    const int64_t w = g->w;

    memset(dR, 0, (size_t)(g->bq * g->bq * 2 * g->P) * sizeof *dR);
    for (int64_t i = 0; i < g->bq; i++)
        for (int64_t j = 0; j < g->bq; j++, dR += 2 * g->P) {
            float *height = dR + g->bq - 1 - i, *width = dR + g->P + g->bq - 1 - j;
            for (int64_t y = 0; y < w; y++, dlogits += w) {
                height[y] = sum(w, dlogits);
                for (int64_t x = 0; x < w; x++) width[x] += dlogits[x];
            }
        }
}

void fv_rel_unpack(const fv_rel *g, const float *dT, float *out) {
    const int64_t n = g->P * g->dk, table = (2 * g->w - 1) * g->dk, skip = (g->w - g->bq) * g->dk;

    memset(out, 0, (size_t)(2 * table) * sizeof *out);
    memcpy(out + skip, dT, (size_t)n * sizeof *out);
    memcpy(out + table + skip, dT + n, (size_t)n * sizeof *out);
}

fv_status fv_rel_param_gradient(const fv_var *y, const fv_rel *g, int64_t heads,
                                const float *partial, const fv_grad dx[2]) {
    const int64_t table = (2 * g->w - 1) * g->dk;
    const fv_grid grid = fv_grid_of(y);

    for (int i = 0; i < 2; i++) {
        if (!dx[i].tree) continue;
        FV_TRY(fv_param_sum(dx[i].tree, &(fv_row_sum){.rows = partial + i * table,
                                                      .dtype = FV_F32,
                                                      .n_rows = grid.samples * heads,
                                                      .chunk_rows = grid.chunk_samples * heads,
                                                      .n = table,
                                                      .ld = 2 * table}));
    }
    return FV_OK;
}
