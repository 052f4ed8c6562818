#include "core/ops/gemm_tiles.h"

static fv_status find(const fv_gemm *desc, int64_t last_m, int64_t last_n, fv_gemm_tiles *out) {
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

/* Whether all plans read packed op(B), or none does. */
static bool agree(const fv_gemm_tiles *tiles) {
    const bool packs = fv_gemm_tiles_packed_bytes(tiles) > 0;

    for (int i = 0; i < 4; i++) {
        const fv_gemm_plan *plan = tiles->plan[i / 2][i % 2];
        if (plan && (fv_backend()->gemm_packed_bytes(plan) > 0) != packs) return false;
    }
    return true;
}

fv_status fv_gemm_tiles_find(const fv_gemm *desc, int64_t last_m, int64_t last_n,
                             fv_gemm_tiles *out) {
    fv_gemm plain = *desc;

    FV_TRY(find(desc, last_m, last_n, out));
    if (agree(out)) return FV_OK;
    plain.packed = 0;
    return find(&plain, last_m, last_n, out);
}

size_t fv_gemm_tiles_packed_bytes(const fv_gemm_tiles *tiles) {
    return fv_backend()->gemm_packed_bytes(tiles->plan[0][0]);
}

void fv_gemm_tiles_pack(const fv_gemm_tiles *tiles, int64_t n, const void *b, int64_t first,
                        int64_t count, void *packed) {
    fv_backend()->gemm_pack(tiles->plan[0][n != tiles->n], b, first, count, packed);
}

fv_status fv_gemm_tiles_run(const fv_gemm_tiles *tiles, int64_t m, int64_t n, const void *a,
                            const void *b, const float *bias, void *c) {
    return fv_backend()->gemm_run(tiles->plan[m != tiles->m][n != tiles->n], a, b, bias, c);
}
