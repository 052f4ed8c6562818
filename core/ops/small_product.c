#include "core/ops/small_product.h"

#include "core/kernels/kernels.h"

fv_dtype fv_small_type(fv_dtype x) {
    return x == FV_BF16 && fv_cpu_flags() & FV_CPU_AVX512_BF16 ? FV_BF16 : FV_F32;
}

int64_t fv_small_size(int64_t k, int64_t n) { return (k + 1) / 2 * 2 * n; }

const void *fv_small_rows(fv_dtype type, int64_t k, int64_t n, const void *x, void *to) {
    if (type == FV_F32) return x;
    fv_kernel()->pair_rows(k, n, x, n, to, 2 * n);
    return to;
}

void fv_small_columns(fv_dtype type, int64_t k, int64_t n, const void *x, void *to) {
    if (type == FV_F32)
        fv_kernel()->transpose(n, k, x, k, to, n);
    else
        fv_kernel()->pair_columns(n, k, x, k, to, 2 * n);
}

void fv_small_product(fv_dtype type, int64_t m, int64_t n, int64_t k, const void *a, const void *b,
                      float *c) {
    fv_product p = {.m = m, .n = n, .k = k, .a_row = k, .a_column = 1, .ldb = n, .ldc = n};

    if (type == FV_F32) {
        fv_kernel()->product(&p, a, b, c);
        return;
    }
    p.a_column = 2;
    p.ldb = 2 * n;
    fv_kernel()->product_bf16(&p, a, b, c, FV_F32);
}

void fv_small_sum(fv_dtype type, int64_t m, int64_t n, int64_t k, const void *a, int64_t width,
                  int64_t first, const void *b, float *c) {
    fv_product p = {
        .m = m, .n = n, .k = k, .a_row = 1, .a_column = width, .ldb = n, .ldc = n, .add = true};

    if (type == FV_F32) {
        fv_kernel()->product(&p, (const float *)a + first, b, c);
        return;
    }
    p.a_row = 2;
    p.a_column = 2 * width;
    p.ldb = 2 * n;
    fv_kernel()->product_bf16(&p, (const fv_bf16 *)a + 2 * first, b, c, FV_F32);
}
