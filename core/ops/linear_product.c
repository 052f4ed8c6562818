#include "core/ops/linear_product.h"

#include "core/ops/gemm_tiles.h"

#include <stdatomic.h>
#include <string.h>

#define OUT_COLUMNS    384 /* of an output tile, at most */
#define WEIGHT_ROWS    128 /* of a weight-gradient tile, at most */
#define WEIGHT_COLUMNS 384
#define SUM_ROWS       64 /* rows summed before a partial sum is added up */

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

static const void *at(const void *base, fv_dtype dtype, int64_t i) {
    return (const char *)base + i * (int64_t)fv_dtype_bytes(dtype);
}

static fv_span column_span(int64_t n, int64_t tile, int64_t i) {
    const int64_t first = i * tile;
    return (fv_span){first, n - first < tile ? n - first : tile};
}

static int64_t count_tiles(int64_t n, int64_t tile) { return (n + tile - 1) / tile; }

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
    t->n = t->desc.n;
    t->tile_n = fv_column_tile(t->n, OUT_COLUMNS);
    t->n_col_tiles = count_tiles(t->n, t->tile_n);
    t->desc.m = full;
    t->desc.n = t->tile_n;
    const int64_t rest = t->n - (t->n_col_tiles - 1) * t->tile_n;
    return fv_gemm_tiles_find(&t->desc, last, rest == t->tile_n ? 0 : rest, &t->tiles);
}

static void tiled_run(int64_t task, void *arg) {
    tiled *t = arg;
    const fv_gemm *d = &t->desc;
    const fv_span rows = fv_grid_tile(&t->grid, task / t->n_col_tiles);
    const fv_span cols = column_span(t->n, t->tile_n, task % t->n_col_tiles);
    const void *a = at(t->a, d->ab, rows.first * d->lda);
    const void *b = at(t->b, d->ab, d->trans_b ? cols.first * d->ldb : cols.first);
    void *c = (void *)at(t->c, d->c, rows.first * d->ldc + cols.first);
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
    fv_parallel(t.grid.n_tiles * t.n_col_tiles, tiled_run, &t);
    return task_status(&failed);
}

/* ---- backward ---- */

typedef struct weight_grad {
    fv_grid grid;
    fv_gemm_tiles tiles[2]; /* a full chunk, the last one when shorter */
    int64_t O, I, tile_o, tile_i, n_o, n_i;
    const void *x, *dz;
    fv_dtype dtype;
    const fv_tree *weight, *bias; /* NULL: not wanted */
    atomic_int *failed;
} weight_grad;

/* out[j] = sum over the chunk's rows of dz[row, first + j]: blocks of SUM_ROWS, added in order. */
static void column_sums(const weight_grad *g, fv_span rows, fv_span cols, float *out,
                        float *scratch) {
    const fv_kernels *k = fv_kernel();
    float *block = scratch, *row = scratch + cols.count;

    memset(out, 0, (size_t)cols.count * sizeof *out);
    for (int64_t r0 = 0; r0 < rows.count; r0 += SUM_ROWS) {
        const int64_t r1 = r0 + SUM_ROWS < rows.count ? r0 + SUM_ROWS : rows.count;
        memset(block, 0, (size_t)cols.count * sizeof *block);
        for (int64_t r = r0; r < r1; r++) {
            const void *src = at(g->dz, g->dtype, (rows.first + r) * g->O + cols.first);
            if (g->dtype == FV_BF16) k->from_bf16(cols.count, src, row);
            k->axpy(cols.count, 1.0f, g->dtype == FV_BF16 ? row : src, block);
        }
        k->axpy(cols.count, 1.0f, block, out);
    }
}

static void weight_tile(const weight_grad *g, fv_span o, fv_span i, float *scratch) {
    fv_tree_tile tile;

    fv_tree_begin(&tile, g->weight, o.first * g->I + i.first, o.count, i.count, g->I, scratch);
    for (int64_t c = 0; c < g->grid.n_chunks; c++) {
        const fv_span rows = fv_grid_chunk(&g->grid, c);
        const int last = rows.count != fv_grid_chunk(&g->grid, 0).count;
        const void *a = at(g->dz, g->dtype, rows.first * g->O + o.first);
        const void *b = at(g->x, g->dtype, rows.first * g->I + i.first);
        /* Tiles are packed: the plan's ldc is the width of a full tile or of the last one. */
        if (fv_gemm_tiles_run(&g->tiles[last], o.count, i.count, a, b, NULL, fv_tree_next(&tile)) !=
            FV_OK)
            atomic_store(g->failed, 1);
        fv_tree_push(&tile);
    }
    fv_tree_end(&tile);
}

static void bias_tile(const weight_grad *g, fv_span o, float *scratch) {
    fv_tree_tile tile;
    float *sums = scratch + fv_tree_scratch(g->bias, o.count);

    fv_tree_begin(&tile, g->bias, o.first, 1, o.count, o.count, scratch);
    for (int64_t c = 0; c < g->grid.n_chunks; c++) {
        column_sums(g, fv_grid_chunk(&g->grid, c), o, fv_tree_next(&tile), sums);
        fv_tree_push(&tile);
    }
    fv_tree_end(&tile);
}

static int64_t weight_scratch(const weight_grad *g) {
    const int64_t w = g->weight ? fv_tree_scratch(g->weight, g->tile_o * g->tile_i) : 0;
    const int64_t b = g->bias ? fv_tree_scratch(g->bias, g->tile_o) + 2 * g->tile_o : 0;
    return w > b ? w : b;
}

/* Plans for every combination of full and last: the packed result makes ldc follow n. */
static fv_status weight_find(weight_grad *g) {
    const int64_t last_o = g->O - (g->n_o - 1) * g->tile_o;
    const int64_t last_i = g->I - (g->n_i - 1) * g->tile_i;
    const int64_t k[2] = {fv_grid_chunk(&g->grid, 0).count,
                          fv_grid_chunk(&g->grid, g->grid.n_chunks - 1).count};

    for (int c = 0; c < (k[1] != k[0] ? 2 : 1); c++) {
        g->tiles[c] = (fv_gemm_tiles){.m = g->tile_o, .n = g->tile_i};
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 2; j++) {
                fv_gemm d;
                memset(&d, 0, sizeof d);
                d.m = i ? last_o : g->tile_o;
                d.n = j ? last_i : g->tile_i;
                d.k = k[c];
                d.lda = g->O;
                d.ldb = g->I;
                d.ldc = d.n;
                d.trans_a = 1;
                d.ab = g->dtype;
                d.c = FV_F32;
                FV_TRY(fv_backend()->gemm_find(&d, &g->tiles[c].plan[i][j]));
            }
    }
    return FV_OK;
}

typedef struct backward_tasks {
    weight_grad weight;
    tiled input;
    int64_t n_weight, n_input;
    size_t scratch_bytes;
} backward_tasks;

static void backward_task(int64_t task, void *arg) {
    backward_tasks *t = arg;
    weight_grad *g = &t->weight;

    if (task >= t->n_weight) {
        tiled_run(task - t->n_weight, &t->input);
        return;
    }
    const fv_span o = column_span(g->O, g->tile_o, task / g->n_i);
    const fv_span i = column_span(g->I, g->tile_i, task % g->n_i);
    float *scratch = fv_scratch(t->scratch_bytes);
    if (g->weight) weight_tile(g, o, i, scratch);
    if (g->bias && i.first == 0) bias_tile(g, o, scratch);
}

static fv_status find_weight(const fv_var *y, const void *dz, fv_grad dx[], backward_tasks *t,
                             atomic_int *failed) {
    const fv_var *x = y->in[0];
    weight_grad *g = &t->weight;

    if (!dx[1].tree && !dx[2].tree) return FV_OK;
    g->grid = fv_grid_of(x);
    g->O = y->in[1]->shape.dim[0];
    g->I = fv_shape_last(&x->shape);
    g->tile_o = fv_column_tile(g->O, WEIGHT_ROWS);
    g->tile_i = fv_column_tile(g->I, WEIGHT_COLUMNS);
    g->n_o = count_tiles(g->O, g->tile_o);
    g->n_i = count_tiles(g->I, g->tile_i);
    g->x = x->data;
    g->dz = dz;
    g->dtype = x->dtype;
    g->weight = dx[1].tree;
    g->bias = dx[2].tree;
    g->failed = failed;
    t->n_weight = g->n_o * g->n_i;
    t->scratch_bytes = (size_t)weight_scratch(g) * sizeof(float);
    FV_TRY(fv_scratch_reserve(t->scratch_bytes));
    return g->weight ? weight_find(g) : FV_OK;
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
    t->n_input = p->grid.n_tiles * p->n_col_tiles;
    return FV_OK;
}

fv_status fv_linear_product_backward(const fv_var *y, const void *dz, fv_grad dx[]) {
    atomic_int failed = 0;
    backward_tasks t = {.n_weight = 0};

    if (y->in[0]->shape.dim[0] == 0) return FV_OK;
    FV_TRY(find_weight(y, dz, dx, &t, &failed));
    FV_TRY(find_input(y, dz, dx, &t, &failed));
    fv_parallel(t.n_weight + t.n_input, backward_task, &t);
    return task_status(&failed);
}

fv_cost fv_linear_cost(const fv_var *y) {
    const double O = (double)y->in[1]->shape.dim[0];
    const double I = (double)fv_shape_last(&y->in[0]->shape);
    const double rows = (double)fv_shape_rows(&y->in[0]->shape);
    const double size = (double)fv_dtype_bytes(y->dtype);
    return (fv_cost){rows * I * O, (rows * (I + O) + I * O) * size};
}
