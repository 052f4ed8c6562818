#include "core/ops/gemm_tiles.h"

fv_status fv_gemm_tiles_find(const fv_gemm *desc, int64_t last_m, int64_t last_n,
                             fv_gemm_tiles *out) {
    *out = (fv_gemm_tiles){.m = desc->m, .n = desc->n};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            fv_gemm d = *desc;
            if (i) d.m = last_m;
            if (j) d.n = last_n;
            if (desc->ldc == 0) d.ldc = d.n;
            if (d.m > 0 && d.n > 0) FV_TRY(fv_backend()->gemm_find(&d, &out->plan[i][j]));
        }
    return FV_OK;
}

size_t fv_gemm_tiles_packed(const fv_gemm_tiles *tiles, int64_t n) {
    return fv_backend()->gemm_packed_bytes(tiles->plan[0][n != tiles->n]);
}

fv_status fv_gemm_tiles_run(const fv_gemm_tiles *tiles, int64_t m, int64_t n, const void *a,
                            const void *b, const float *bias, void *c) {
    return fv_backend()->gemm_run(tiles->plan[m != tiles->m][n != tiles->n], a, b, bias, c);
}
