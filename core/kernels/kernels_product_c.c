/* Small matrix products in plain C. */
#include "core/kernels/kernels.h"

#include <string.h>

static void product(const fv_product *p, const float *a, const float *b, float *c) {
    for (int64_t i = 0; i < p->m; i++) {
        const float *factors =
            p->a_strip ? a + i / FV_STRIP_ROWS * p->a_strip + i % FV_STRIP_ROWS * p->a_row
                       : a + i * p->a_row;
        float *row = c + i * p->ldc;
        if (!p->add && p->start) memcpy(row, p->start, (size_t)p->n * sizeof *row);
        if (!p->add && !p->start) memset(row, 0, (size_t)p->n * sizeof *row);
        for (int64_t k = 0; k < p->k; k++) {
            const float factor = factors[k * p->a_column];
            for (int64_t j = 0; j < p->n; j++) row[j] += factor * b[k * p->ldb + j];
        }
    }
}

static void transpose(int64_t rows, int64_t columns, const float *x, int64_t ldx, float *y,
                      int64_t ldy) {
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++) y[j * ldy + i] = x[i * ldx + j];
}

void fv_kernels_init_product_c(fv_kernels *table) {
    table->panel = 16;
    table->product = product;
    table->transpose = transpose;
}
