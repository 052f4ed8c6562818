#include "core/ops/linear_product.h"

#include "core/ops/linear_sums.h"
#include "core/ops/row.h"

#include <string.h>

#define OUT_COLUMNS  384 /* of an output tile, at most */
#define PACK_COLUMNS 64  /* packed by a task */

fv_status fv_linear_shape(fv_var *y) {
    const fv_var *x = y->in[0], *w = y->in[1], *b = y->in[2];
    const int64_t O = w->shape.rank ? w->shape.dim[0] : 0;
    const int64_t I = O > 0 ? fv_shape_numel(&w->shape) / O : 0;
    char xs[FV_SHAPE_TEXT], ws[FV_SHAPE_TEXT];

    if (x->shape.rank < 2 || I <= 0 || fv_shape_last(&x->shape) != I)
        return FV_FAIL(FV_ERR_SHAPE, "%s: input %s does not fit weight %s", y->op->name,
                       fv_shape_text(&x->shape, xs), fv_shape_text(&w->shape, ws));
    if (b && fv_shape_numel(&b->shape) != O)
        return FV_FAIL(FV_ERR_SHAPE, "%s: bias %s does not fit weight %s", y->op->name,
                       fv_shape_text(&b->shape, xs), fv_shape_text(&w->shape, ws));
    y->shape = x->shape;
    y->shape.dim[x->shape.rank - 1] = O;
    return FV_OK;
}

fv_status fv_weight_data(const fv_var *w, fv_dtype dtype, const void **data) {
    *data = w->data;
    if (dtype == FV_F32) return FV_OK;
    *data = w->param ? w->param->value_bf16 : NULL;
    if (!*data) return FV_FAIL(FV_ERR_UNSUPPORTED, "a weight has no bf16 copy");
    return FV_OK;
}

/* Sizes of a full and of a shorter last row tile (0: none). */
static void row_tiles(const fv_grid *grid, int64_t *full, int64_t *last) {
    *full = fv_grid_tile(grid, 0).count;
    *last = fv_grid_tile(grid, grid->n_tiles - 1).count;
    if (*last == *full) *last = 0;
}

/* One product over row tiles x column tiles: C = A op(B). */
typedef struct tiled {
    fv_grid grid;
    fv_gemm_tiles tiles;
    int64_t n, tile_n, n_col_tiles;
    char *packed; /* op(B), packed_bytes a column tile; NULL: b */
    size_t packed_bytes;
    const void *a, *b;
    const float *bias;
    fv_gemm desc;
    void *c;
    fv_linear_tile_fn *after;
    void *after_arg;
    atomic_int *failed;
} tiled;

static fv_status tiled_find(tiled *t) {
    int64_t full, last;

    row_tiles(&t->grid, &full, &last);
    t->desc.packed = t->grid.n_tiles > 1;
    t->n = t->desc.n;
    t->tile_n = fv_column_tile(t->n, OUT_COLUMNS);
    t->n_col_tiles = fv_tile_count(t->n, t->tile_n);
    t->desc.m = full;
    t->desc.n = t->tile_n;
    const int64_t rest = t->n - (t->n_col_tiles - 1) * t->tile_n;
    return fv_gemm_tiles_find(&t->desc, last, rest == t->tile_n ? 0 : rest, &t->tiles);
}

/* Where a column tile's columns of op(B) start, as they are. */
static const void *plain_b(const tiled *t, fv_span cols) {
    return fv_row_at(t->b, t->desc.ab, t->desc.trans_b ? cols.first * t->desc.ldb : cols.first);
}

static void pack_columns(int64_t task, void *arg) {
    const tiled *t = arg;
    const int64_t per_tile = fv_tile_count(t->tile_n, PACK_COLUMNS), tile = task / per_tile;
    const fv_span cols = fv_tile_span(t->n, t->tile_n, tile);
    const fv_span part = fv_tile_span(cols.count, PACK_COLUMNS, task % per_tile);

    if (part.count > 0)
        fv_gemm_tiles_pack(&t->tiles, cols.count, plain_b(t, cols), part.first, part.count,
                           t->packed + (size_t)tile * t->packed_bytes);
}

/* Once for all row tiles. */
static fv_status pack(fv_tape *tape, tiled *t) {
    t->packed_bytes = fv_gemm_tiles_packed_bytes(&t->tiles);
    if (t->packed_bytes == 0) return FV_OK;
    t->packed =
        (char *)fv_tape_scratch(tape, t->n_col_tiles * (int64_t)(t->packed_bytes / sizeof(float)));
    if (!t->packed) return FV_ERR_NOMEM;
    fv_parallel(t->n_col_tiles * fv_tile_count(t->tile_n, PACK_COLUMNS), pack_columns, t);
    return FV_OK;
}

static void tiled_run(int64_t task, void *arg) {
    tiled *t = arg;
    const fv_gemm *d = &t->desc;
    const int64_t tile = task % t->n_col_tiles;
    const fv_span rows = fv_grid_tile(&t->grid, task / t->n_col_tiles);
    const fv_span cols = fv_tile_span(t->n, t->tile_n, tile);
    const void *a = fv_row_at(t->a, d->ab, rows.first * d->lda);
    const void *b = t->packed ? t->packed + (size_t)tile * t->packed_bytes : plain_b(t, cols);
    void *c = fv_row_at(t->c, d->c, rows.first * d->ldc + cols.first);
    const float *bias = t->bias ? t->bias + cols.first : NULL;

    if (fv_gemm_tiles_run(&t->tiles, rows.count, cols.count, a, b, bias, c) != FV_OK)
        atomic_store(t->failed, 1);
    else if (t->after)
        t->after(rows, cols, t->after_arg);
}

static fv_status task_status(const atomic_int *failed) {
    return atomic_load(failed) ? FV_FAIL(FV_ERR_BACKEND, "a matrix product failed") : FV_OK;
}

fv_status fv_linear_product(const fv_var *y, void *out, fv_dtype out_dtype,
                            fv_linear_tile_fn *after, void *arg) {
    const fv_var *x = y->in[0], *w = y->in[1], *b = y->in[2];
    const int64_t O = w->shape.dim[0], I = fv_shape_last(&x->shape);
    atomic_int failed = 0;
    tiled t = {.grid = fv_grid_of(x),
               .a = x->data,
               .bias = b ? b->data : NULL,
               .c = out,
               .after = after,
               .after_arg = arg,
               .failed = &failed};

    if (t.grid.n_tiles == 0) return FV_OK;
    memset(&t.desc, 0, sizeof t.desc);
    t.desc.n = O;
    t.desc.k = t.desc.lda = t.desc.ldb = I;
    t.desc.ldc = O;
    t.desc.apart = t.desc.trans_b = 1;
    t.desc.bias = b != NULL;
    t.desc.ab = x->dtype;
    t.desc.c = out_dtype;
    FV_TRY(fv_weight_data(w, x->dtype, &t.b));
    FV_TRY(tiled_find(&t));
    FV_TRY(pack(y->tape, &t));
    fv_parallel(t.grid.n_tiles * t.n_col_tiles, tiled_run, &t);
    return task_status(&failed);
}

/* ---- backward ---- */

typedef struct backward_tasks {
    fv_linear_sums sums;
    tiled input;
    int64_t n_input;
} backward_tasks;

static void backward_task(int64_t task, void *arg) {
    backward_tasks *t = arg;

    if (task < t->sums.n_tasks)
        fv_linear_sums_task(&t->sums, task);
    else
        tiled_run(task - t->sums.n_tasks, &t->input);
}

static fv_status find_input(const fv_var *y, const void *dz, fv_grad dx[], backward_tasks *t,
                            atomic_int *failed) {
    const fv_var *x = y->in[0];
    tiled *p = &t->input;

    if (!dx[0].data) return FV_OK;
    *p = (tiled){.grid = fv_grid_of(x), .a = dz, .c = dx[0].data, .failed = failed};
    memset(&p->desc, 0, sizeof p->desc);
    p->desc.n = p->desc.ldb = p->desc.ldc = fv_shape_last(&x->shape);
    p->desc.k = p->desc.lda = y->in[1]->shape.dim[0];
    p->desc.accumulate = dx[0].add;
    p->desc.apart = 1;
    p->desc.ab = x->dtype;
    p->desc.c = dx[0].dtype;
    FV_TRY(fv_weight_data(y->in[1], x->dtype, &p->b));
    FV_TRY(tiled_find(p));
    FV_TRY(pack(y->tape, p));
    t->n_input = p->grid.n_tiles * p->n_col_tiles;
    return FV_OK;
}

fv_status fv_linear_product_backward(const fv_var *y, const void *dz, fv_grad dx[]) {
    atomic_int failed = 0;
    backward_tasks t = {.n_input = 0};

    if (y->in[0]->shape.dim[0] == 0) return FV_OK;
    FV_TRY(fv_linear_sums_begin(y, dz, dx, &failed, &t.sums));
    FV_TRY(find_input(y, dz, dx, &t, &failed));
    fv_parallel(t.sums.n_tasks + t.n_input, backward_task, &t);
    FV_TRY(fv_linear_sums_end(&t.sums));
    return task_status(&failed);
}

fv_cost fv_linear_cost(const fv_var *y) {
    const double O = (double)y->in[1]->shape.dim[0];
    const double I = (double)fv_shape_last(&y->in[0]->shape);
    const double rows = (double)fv_shape_rows(&y->in[0]->shape);
    const double size = (double)fv_dtype_bytes(y->dtype);
    return (fv_cost){rows * I * O, (rows * (I + O) + I * O) * size};
}
