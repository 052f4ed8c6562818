/* op_mean_tokens.c - mean over the positions of each sample, the first `skip` left out:
 * x [B, ..., C] f32 or bf16 -> y [B,C] of the dtype asked for; the axes in between are one axis of
 * N positions.  dx = dy / (N - skip), 0 for what is left out.
 * Blocks of FV_SUM_ROWS positions are summed and added in index order. */
#include "core/ops/param_sum.h"
#include "core/ops/row.h"

#include <inttypes.h>
#include <string.h>

#define COLUMNS 512 /* of a task, at most */

typedef struct mean_attr {
    int64_t skip;
    fv_dtype out;
} mean_attr;

static int64_t positions(const fv_var *x) {
    int64_t n = 1;
    for (int i = 1; i + 1 < x->shape.rank; i++) n *= x->shape.dim[i];
    return n;
}

static fv_status shape(fv_var *y) {
    const mean_attr *attr = y->attr;
    const fv_shape *x = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank < 3)
        return FV_FAIL(FV_ERR_SHAPE, "mean_tokens: input %s is not [B,...,C]",
                       fv_shape_text(x, text));
    if (attr->skip < 0 || attr->skip >= positions(y->in[0]))
        return FV_FAIL(FV_ERR_SHAPE, "mean_tokens: nothing left of %s without the first %" PRId64,
                       fv_shape_text(x, text), attr->skip);
    y->shape = fv_shape_of(2, x->dim[0], fv_shape_last(x));
    y->dtype = attr->out;
    return FV_OK;
}

typedef struct args {
    const fv_var *y, *x;
    const fv_tensor *dy;
    const fv_grad *dx;
    int64_t N, C, skip, tile, tiles; /* tiles of columns */
} args;

static args make_args(const fv_var *y) {
    const int64_t C = y->shape.dim[1], tile = fv_column_tile(C, COLUMNS);
    return (args){.y = y,
                  .x = y->in[0],
                  .N = positions(y->in[0]),
                  .C = C,
                  .skip = ((const mean_attr *)y->attr)->skip,
                  .tile = tile,
                  .tiles = tile ? fv_tile_count(C, tile) : 0};
}

static void mean_tile(int64_t task, void *arg) {
    const args *a = arg;
    const int64_t b = task / a->tiles;
    const fv_span cols = fv_tile_span(a->C, a->tile, task % a->tiles);
    const int64_t first = cols.first, n = cols.count;
    float *sum = fv_scratch((size_t)(3 * a->tile) * sizeof(float));
    float *block = sum + a->tile, *row = block + a->tile;

    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t i = a->skip; i < a->N; i += FV_SUM_ROWS) {
        const int64_t end = i + FV_SUM_ROWS < a->N ? i + FV_SUM_ROWS : a->N;
        memset(block, 0, (size_t)n * sizeof *block);
        for (int64_t r = i; r < end; r++)
            fv_kernel()->axpy(
                n, 1.0f,
                fv_row_read(a->x->data, a->x->dtype, (b * a->N + r) * a->C + first, n, row), block);
        fv_kernel()->axpy(n, 1.0f, block, sum);
    }
    fv_kernel()->scale(n, 1.0f / (float)(a->N - a->skip), sum, sum);
    fv_row_copy(a->y->data, a->y->dtype, b * a->C + first, sum, FV_F32, 0, n);
}

static fv_status forward(fv_var *y) {
    args a = make_args(y);

    FV_TRY(fv_scratch_reserve((size_t)(3 * a.tile) * sizeof(float)));
    fv_parallel(y->shape.dim[0] * a.tiles, mean_tile, &a);
    return FV_OK;
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *buffer = fv_scratch((size_t)(2 * a->C) * sizeof(float));

    for (int64_t row = first; row < first + count; row++) {
        if (row % a->N < a->skip) {
            fv_grad_zero(a->dx, row * a->C, a->C);
            continue;
        }
        const float *dy =
            fv_row_read(a->dy->data, a->dy->dtype, row / a->N * a->C, a->C, buffer + a->C);
        float *dx = fv_grad_open(a->dx, row * a->C, buffer);
        fv_kernel()->scale(a->C, 1.0f / (float)(a->N - a->skip), dy, dx);
        fv_grad_close(a->dx, row * a->C, a->C, dx);
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y->in[0]);
    args a = make_args(y);

    a.dy = dy;
    a.dx = &dx[0];
    FV_TRY(fv_scratch_reserve((size_t)(2 * a.C) * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &a);
    return FV_OK;
}

const fv_op fv_op_mean_tokens = {.name = "mean_tokens",
                                 .arity = 1,
                                 .attr_bytes = sizeof(mean_attr),
                                 .shape = shape,
                                 .forward = forward,
                                 .backward = backward,
                                 .relevance = fv_relevance_epsilon,
                                 .cost = fv_cost_elementwise};

fv_var *fv_mean_tokens(fv_var *x, int64_t skip, fv_dtype out) {
    return fv_apply(&fv_op_mean_tokens, (fv_var *[]){x}, &(mean_attr){skip, out});
}
