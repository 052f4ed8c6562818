#include "core/ops/softmax_rows.h"

#include "core/kernels/kernels.h"

#define BLOCK 4 /* rows that are in the first cache together: none waits for its own sum */

void fv_softmax_rows(int64_t rows, int64_t n, int64_t ld, float a, float *x, fv_bf16 *x16,
                     float *lse) {
    const fv_kernels *k = fv_kernel();

    for (int64_t r = 0; r < rows; r++) {
        k->softmax(n, a, x + r * ld, x + r * ld, lse ? lse + r : NULL);
        if (x16) k->to_bf16(n, x + r * ld, x16 + r * ld);
    }
}

void fv_softmax_rows_gradient(int64_t rows, int64_t n, int64_t ld, float a, const float *lse,
                              float *x, float *dx, fv_bf16 *x16, fv_bf16 *dx16) {
    const fv_kernels *k = fv_kernel();

    for (int64_t first = 0; first < rows; first += BLOCK) {
        const int64_t end = rows - first < BLOCK ? rows : first + BLOCK;
        float delta[BLOCK];

        for (int64_t r = first; r < end; r++) {
            k->softmax_from_lse(n, a, x + r * ld, lse[r], x + r * ld);
            delta[r - first] = k->dot(n, x + r * ld, dx + r * ld);
            if (x16) k->to_bf16(n, x + r * ld, x16 + r * ld);
        }
        for (int64_t r = first; r < end; r++) {
            float *row = dx + r * ld;
            k->softmax_backward(n, a, x + r * ld, row, delta[r - first], row);
            if (dx16) k->to_bf16(n, row, dx16 + r * ld);
        }
    }
}
