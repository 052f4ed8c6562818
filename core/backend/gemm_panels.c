#include "core/backend/gemm_panels.h"

#include "core/backend/lanes.h"
#include "core/backend/panels.h"
#include "core/backend/plan_table.h"

#include <string.h>

#define HEIGHT FV_PANEL_HEIGHT
#define ROWS   192 /* of a block of strips: 192 KiB stay in the second cache */
#define BYTES  ((size_t)ROWS * HEIGHT * sizeof(float))

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t panel_width(void) { return fv_kernel()->panel; }

bool fv_gemm_panels_leads(const fv_gemm *g) {
    return g->ab == FV_F32 && g->c == FV_F32 && !g->trans_a && fv_cpu_flags() & FV_CPU_AVX512;
}

size_t fv_gemm_panels_bytes(const fv_gemm *g) {
    const int64_t wide = panel_width();
    return (size_t)((g->n + wide - 1) / wide * wide * g->k) * sizeof(float);
}

/* Columns of op(B) are rows of b. */
static void turn(const fv_gemm *g, const void *b, int64_t k0, int64_t height, int64_t j,
                 int64_t width, float *panel) {
    const int64_t first = j * g->ldb + k0, wide = panel_width();
    float rows[FV_PANEL_FLOATS];

    if (g->ab == FV_F32) {
        fv_kernel()->transpose(width, height, (const float *)b + first, g->ldb, panel, wide);
        return;
    }
    for (int64_t i = 0; i < width; i++)
        fv_kernel()->from_bf16(height, (const fv_bf16 *)b + first + i * g->ldb, rows + i * HEIGHT);
    fv_kernel()->transpose(width, height, rows, HEIGHT, panel, wide);
}

static void copy(const fv_gemm *g, const void *b, int64_t k0, int64_t height, int64_t j,
                 int64_t width, float *panel) {
    const int64_t first = k0 * g->ldb + j, wide = panel_width();

    if (g->ab == FV_F32) {
        fv_panel_rows(height, width, (const float *)b + first, g->ldb, panel);
        return;
    }
    for (int64_t p = 0; p < height; p++)
        fv_kernel()->from_bf16(width, (const fv_bf16 *)b + first + p * g->ldb, panel + p * wide);
}

/* alpha op(B)[k0 .. k0+height, j .. j+width], in a panel. */
static void pack(const fv_gemm *g, const void *b, int64_t k0, int64_t height, int64_t j,
                 int64_t width, float *panel) {
    const int64_t wide = panel_width();

    if (g->trans_b)
        turn(g, b, k0, height, j, width, panel);
    else
        copy(g, b, k0, height, j, width, panel);
    if (g->alpha == 1.0f) return;
    for (int64_t p = 0; p < height; p++)
        fv_kernel()->scale(width, g->alpha, panel + p * wide, panel + p * wide);
}

void fv_gemm_panels_pack(const fv_gemm *g, const void *b, int64_t first, int64_t count,
                         float *packed) {
    const int64_t wide = panel_width();

    for (int64_t j = first; j < first + count; j += wide)
        for (int64_t k0 = 0; k0 < g->k; k0 += HEIGHT)
            pack(g, b, k0, least(HEIGHT, g->k - k0), j, least(wide, g->n - j),
                 packed + j * g->k + k0 * wide);
}

/* ---- products ---- */

static fv_lane lanes[FV_MAX_THREADS];

fv_status fv_gemm_panels_equip(int *n_lanes) { return fv_lanes_equip(lanes, n_lanes, BYTES); }

void fv_gemm_panels_release(void) { fv_lanes_release(lanes); }

/* C[m,n] of rows that fit a block, over all columns of op(B) and k0 .. k0 + p->k - 1. */
static void run_columns(const fv_gemm *g, fv_product *p, int64_t k0, const float *a, const float *b,
                        const float *bias, float *c) {
    _Alignas(64) float scratch[FV_PANEL_FLOATS];

    for (int64_t j = 0; j < g->n; j += p->ldb) {
        const float *panel = g->packed ? b + j * g->k + k0 * p->ldb : scratch;
        p->n = least(p->ldb, g->n - j);
        p->start = g->bias ? bias + j : NULL;
        if (!g->packed) pack(g, b, k0, p->k, j, p->n, scratch);
        fv_kernel()->product(p, a, panel, c + j);
    }
}

/* strips: scratch for op(A) of trans_a, or NULL. */
static void run(const fv_gemm *g, const float *a, const float *b, const float *bias, float *c,
                float *strips) {
    const int64_t block = strips ? ROWS : g->m;
    fv_product p = {.a_row = strips ? 1 : g->lda,
                    .a_column = strips ? FV_STRIP_ROWS : 1,
                    .ldb = panel_width(),
                    .ldc = g->ldc,
                    .add = g->accumulate};

    for (int64_t k0 = 0; k0 < g->k; k0 += HEIGHT, p.add = true) {
        p.k = least(HEIGHT, g->k - k0);
        if (strips) p.a_strip = FV_STRIP_ROWS * p.k;
        for (int64_t i = 0; i < g->m; i += block) {
            p.m = least(block, g->m - i);
            if (strips) fv_pack_strips(p.m, p.k, a + k0 * g->lda + i, g->lda, strips);
            run_columns(g, &p, k0, strips ? strips : a + k0, b, bias, c + i * g->ldc);
        }
    }
}

fv_status fv_gemm_panels_run(const fv_gemm *g, int n_lanes, const float *a, const float *b,
                             const float *bias, float *c) {
    fv_loan loan = {.lane = NULL};
    float *strips = NULL;

    if (g->trans_a) {
        strips = fv_lanes_borrow(lanes, n_lanes, BYTES, &loan);
        if (!strips) return FV_ERR_NOMEM;
    }
    fv_gemm_add_bias(g, bias, c);
    run(g, a, b, bias, c, strips);
    fv_lanes_return(&loan);
    return FV_OK;
}
