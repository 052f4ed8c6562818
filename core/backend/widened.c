#include "core/backend/widened.h"

#include "core/alloc.h"
#include "core/kernels/kernels.h"

static fv_lane lanes[FV_MAX_THREADS];

/* ---- descriptors ---- */

static fv_widened_part matrix(int64_t rows, int64_t columns, int64_t ld) {
    return ld == columns ? (fv_widened_part){1, rows * columns, rows * columns}
                         : (fv_widened_part){rows, columns, ld};
}

static fv_widened_part run_of(int64_t n) { return matrix(1, n, n); }

fv_gemm fv_widened_gemm(const fv_gemm *g, fv_widened *run) {
    const bool narrow = g->c == FV_BF16;
    fv_gemm wide = *g;

    wide.lda = g->trans_a ? g->m : g->k;
    wide.ldb = g->trans_b ? g->k : g->n;
    wide.ldc = narrow ? g->n : g->ldc;
    wide.ab = wide.c = FV_F32;
    *run = (fv_widened){.a = matrix(g->trans_a ? g->k : g->m, wide.lda, g->lda),
                        .b = matrix(g->trans_b ? g->n : g->k, wide.ldb, g->ldb)};
    if (narrow) run->out = matrix(g->m, g->n, g->ldc);
    return wide;
}

fv_conv fv_widened_conv(const fv_conv *c, fv_widened *run, fv_widened *pack) {
    const fv_widened_part x = run_of(c->n * c->H * c->W * c->C);
    const fv_widened_part y = run_of(c->n * fv_conv_rows(c) * fv_conv_columns(c) * c->O);
    const bool data = c->pass == FV_CONV_DATA;
    fv_conv wide = *c;

    wide.in = wide.out = FV_F32;
    *run = (fv_widened){.a = data ? y : x};
    *pack = (fv_widened){.n_lanes = 0};
    if (c->pass == FV_CONV_WEIGHTS)
        run->b = y;
    else
        pack->a = run_of(c->O * (c->C / c->groups) * c->kh * c->kw);
    if (c->out == FV_BF16) run->out = data ? x : y;
    return wide;
}

/* ---- scratch ---- */

static size_t bytes_of(const fv_widened_part *part) {
    const size_t bytes = (size_t)(part->rows * part->columns) * sizeof(float);
    return (bytes + FV_ALIGN - 1) / FV_ALIGN * FV_ALIGN;
}

static size_t scratch_bytes(const fv_widened *w) {
    return bytes_of(&w->a) + bytes_of(&w->b) + bytes_of(&w->out);
}

fv_status fv_widened_equip(fv_widened *w) {
    return fv_lanes_equip(lanes, &w->n_lanes, scratch_bytes(w));
}

void fv_widened_release(void) { fv_lanes_release(lanes); }

/* ---- a run ---- */

static const void *widen(const fv_widened_part *part, const fv_bf16 *from, float *to) {
    for (int64_t i = 0; i < part->rows; i++)
        fv_kernel()->from_bf16(part->columns, from + i * part->ld, to + i * part->columns);
    return part->rows ? (const void *)to : from;
}

static void narrow(const fv_widened_part *part, const float *from, fv_bf16 *to) {
    for (int64_t i = 0; i < part->rows; i++)
        fv_kernel()->to_bf16(part->columns, from + i * part->columns, to + i * part->ld);
}

fv_status fv_widened_begin(const fv_widened *w, const void *a, const void *b, void *out,
                           fv_widened_call *call) {
    *call = (fv_widened_call){.w = w, .result = out};
    char *scratch = fv_lanes_borrow(lanes, w->n_lanes, scratch_bytes(w), &call->loan);
    if (!scratch) return FV_ERR_NOMEM;
    call->a = widen(&w->a, a, (float *)scratch);
    scratch += bytes_of(&w->a);
    call->b = widen(&w->b, b, (float *)scratch);
    scratch += bytes_of(&w->b);
    call->out = w->out.rows ? scratch : out;
    return FV_OK;
}

fv_status fv_widened_end(const fv_widened_call *call, fv_status status) {
    if (status == FV_OK) narrow(&call->w->out, call->out, call->result);
    fv_lanes_return(&call->loan);
    return status;
}
