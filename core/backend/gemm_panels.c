#include "core/backend/gemm_panels.h"

#include "core/kernels/kernels.h"

#include <string.h>

#define WIDTH  16  /* columns of a panel of op(B): what the kernel's tiles take at once */
#define HEIGHT 256 /* rows of it: 16 KiB stay in the first cache while the rows of A go by */

/* alpha op(B)[k0 .. k0+height, j .. j+width], rows WIDTH apart. */
static void pack(const fv_gemm *g, const float *b, int64_t k0, int64_t height, int64_t j,
                 int64_t width, float *panel) {
    if (g->trans_b)
        fv_kernel()->transpose(width, height, b + j * g->ldb + k0, g->ldb, panel, WIDTH);
    for (int64_t p = 0; !g->trans_b && p < height; p++)
        memcpy(panel + p * WIDTH, b + (k0 + p) * g->ldb + j, (size_t)width * sizeof *panel);
    if (g->alpha == 1.0f) return;
    for (int64_t p = 0; p < height; p++)
        fv_kernel()->scale(width, g->alpha, panel + p * WIDTH, panel + p * WIDTH);
}

/* The sums start from the bias, or from what is there. */
static void start(const fv_gemm *g, const float *bias, float *c) {
    for (int64_t i = 0; i < g->m; i++, c += g->ldc) {
        if (g->accumulate)
            fv_kernel()->axpy(g->n, 1.0f, bias, c);
        else
            memcpy(c, bias, (size_t)g->n * sizeof *c);
    }
}

void fv_gemm_panels_run(const fv_gemm *g, const float *a, const float *b, const float *bias,
                        float *c) {
    _Alignas(64) float panel[HEIGHT * WIDTH];
    fv_product p = {.m = g->m,
                    .a_row = g->lda,
                    .a_column = 1,
                    .ldb = WIDTH,
                    .ldc = g->ldc,
                    .add = g->accumulate || g->bias};

    if (g->bias) start(g, bias, c);
    for (int64_t k0 = 0; k0 < g->k; k0 += HEIGHT, p.add = true) {
        p.k = g->k - k0 < HEIGHT ? g->k - k0 : HEIGHT;
        for (int64_t j = 0; j < g->n; j += WIDTH) {
            p.n = g->n - j < WIDTH ? g->n - j : WIDTH;
            pack(g, b, k0, p.k, j, p.n, panel);
            fv_kernel()->product(&p, a + k0, panel, c + j);
        }
    }
}
