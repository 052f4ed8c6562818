/* Products of bf16 in plain C. */
#include "core/kernels/kernels.h"

static float element(const fv_product *p, const fv_bf16 *a, const fv_bf16 *b, float sum) {
    for (int64_t q = 0; q < p->k; q++) {
        const fv_bf16 factor = a[q / 2 * p->a_column + q % 2];
        sum += fv_bf16_to_f32(factor) * fv_bf16_to_f32(b[q / 2 * p->ldb + q % 2]);
    }
    return sum;
}

static void product_bf16(const fv_product *p, const fv_bf16 *a, const fv_bf16 *b, void *c,
                         fv_dtype type) {
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            float *wide = (float *)c + i * p->ldc + j;
            const float start = p->add ? *wide : p->start ? p->start[j] : 0.0f;
            const float sum = element(p, a + i * p->a_row, b + 2 * j, start);
            if (type == FV_F32)
                *wide = sum;
            else
                ((fv_bf16 *)c)[i * p->ldc + j] = fv_bf16_from_f32(sum);
        }
}

static void pair_rows(int64_t rows, int64_t columns, const fv_bf16 *x, int64_t ldx, fv_bf16 *y,
                      int64_t ldy) {
    for (int64_t p = 0; p < rows + rows % 2; p++)
        for (int64_t i = 0; i < columns; i++)
            y[p / 2 * ldy + 2 * i + p % 2] = p < rows ? x[p * ldx + i] : 0;
}

static void pair_columns(int64_t rows, int64_t columns, const fv_bf16 *x, int64_t ldx, fv_bf16 *y,
                         int64_t ldy) {
    for (int64_t p = 0; p < columns + columns % 2; p++)
        for (int64_t i = 0; i < rows; i++)
            y[p / 2 * ldy + 2 * i + p % 2] = p < columns ? x[i * ldx + p] : 0;
}

void fv_kernels_init_pairs_c(fv_kernels *table) {
    table->product_bf16 = product_bf16;
    table->pair_rows = pair_rows;
    table->pair_columns = pair_columns;
}
