/* op_halo_gather.c - the windows of halo attention, read from a map:
 * x [B,H,W,h S] -> y [B,h,n,w^2,count] of x's dtype: channels first .. first + count - 1 of each head's S,
 * of the w^2 pixels around each of n blocks of b x b; zero outside of the map.  w = b + 2 halo.
 * dx of a pixel adds up, in row-major order of the blocks, what the windows that hold it hand back. */
#include "core/ops/halo.h"
#include "core/ops/row.h"

#include <string.h>

typedef struct gather_attr {
    int64_t block, halo, heads, first, count;
} gather_attr;

static fv_status shape(fv_var *y) {
    const gather_attr *a = y->attr;
    const fv_shape *x = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];
    fv_halo g;

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank != 4 || a->heads < 1 || x->dim[3] % a->heads)
        return FV_FAIL(FV_ERR_SHAPE,
                       "halo_gather: %s is not [B,H,W,C] with C a multiple of %d heads",
                       fv_shape_text(x, text), (int)a->heads);
    if (a->first < 0 || a->count < 1 || a->first + a->count > x->dim[3] / a->heads)
        return FV_FAIL(FV_ERR_SHAPE, "halo_gather: no channels %d..%d in %s with %d heads",
                       (int)a->first, (int)(a->first + a->count - 1), fv_shape_text(x, text),
                       (int)a->heads);
    FV_TRY(fv_halo_init(&g, y->op->name, x->dim[1], x->dim[2], a->block, a->halo));
    y->shape =
        fv_shape_of(5, x->dim[0], a->heads, g.down * g.across, g.window * g.window, a->count);
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

typedef struct args {
    const fv_var *y, *x;
    const fv_tensor *dy;
    const fv_grad *dx;
    const gather_attr *attr;
    fv_halo g;
    int64_t heads, n, size, count, C; /* blocks; pixels of a window; channels of y and x */
} args;

static args make_args(const fv_var *y) {
    const fv_shape *x = &y->in[0]->shape;
    args a = {.y = y, .x = y->in[0], .attr = y->attr, .C = x->dim[3], .count = y->shape.dim[4]};

    fv_halo_init(&a.g, y->op->name, x->dim[1], x->dim[2], a.attr->block, a.attr->halo);
    a.heads = a.attr->heads;
    a.n = y->shape.dim[2];
    a.size = y->shape.dim[3];
    return a;
}

/* row counts rows of y: (b, head, block, position) */
static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const size_t bytes = (size_t)a->count * fv_dtype_bytes(a->x->dtype);

    for (int64_t row = first; row < first + count; row++) {
        const int64_t block = row / a->size % a->n, head = row / (a->size * a->n) % a->heads;
        const int64_t b = row / (a->size * a->n * a->heads);
        const int64_t pixel = fv_halo_pixel(&a->g, block, row % a->size);
        if (pixel < 0) {
            memset((char *)a->y->data + (size_t)row * bytes, 0, bytes);
            continue;
        }
        const int64_t from = (b * a->g.H * a->g.W + pixel) * a->C + head * (a->C / a->heads);
        fv_row_copy(a->y->data, a->x->dtype, row * a->count, a->x->data, a->x->dtype,
                    from + a->attr->first, a->count);
    }
}

static fv_status forward(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);
    args a = make_args(y);

    fv_parallel_rows(&grid, forward_rows, &a);
    return FV_OK;
}

/* Blocks along one axis whose windows hold position `at`. */
static fv_span holding(const fv_halo *g, int64_t at, int64_t blocks) {
    const int64_t before = at - g->block - g->halo; /* a window that starts at or before it */
    const int64_t first = before < 0 ? 0 : before / g->block + 1;
    const int64_t end = (at + g->halo) / g->block + 1;
    return (fv_span){first, (end < blocks ? end : blocks) - first};
}

/* What the windows give to pixel (i, j) of one head, added to dx [count]. */
static void collect(const args *a, int64_t b, int64_t head, int64_t i, int64_t j, float *dx,
                    float *buffer) {
    const fv_halo *g = &a->g;
    const fv_span down = holding(g, i, g->down), across = holding(g, j, g->across);

    for (int64_t Y = down.first; Y < down.first + down.count; Y++)
        for (int64_t X = across.first; X < across.first + across.count; X++) {
            const int64_t y = i - Y * g->block + g->halo, x = j - X * g->block + g->halo;
            const int64_t block = (b * a->heads + head) * a->n + Y * g->across + X;
            const int64_t row = block * a->size + y * g->window + x;
            fv_kernel()->axpy(
                a->count, 1.0f,
                fv_row_read(a->dy->data, a->dy->dtype, row * a->count, a->count, buffer), dx);
        }
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const fv_halo *g = &a->g;
    float *dx = fv_scratch((size_t)(a->C + a->count) * sizeof(float));

    for (int64_t row = first; row < first + count; row++) {
        const int64_t b = row / (g->H * g->W), i = row / g->W % g->H, j = row % g->W;
        memset(dx, 0, (size_t)a->C * sizeof *dx);
        for (int64_t head = 0; head < a->heads; head++)
            collect(a, b, head, i, j, dx + head * (a->C / a->heads) + a->attr->first, dx + a->C);
        fv_grad_store(a->dx, row * a->C, a->C, dx);
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y->in[0]);
    args a = make_args(y);

    a.dy = dy;
    a.dx = &dx[0];
    FV_TRY(fv_scratch_reserve((size_t)(a.C + a.count) * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &a);
    return FV_OK;
}

/* Moved and added up.  What lies outside of the map is 0, so its share of a GI signal is too; an R rule
 * behind it may have sent it some, which ends here. */
static fv_status relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                           const fv_rule *rule) {
    const args a = make_args(y);
    const int64_t per_sample = a.heads * a.n * a.size;

    for (int64_t row = 0; ry->kind == FV_SIGNAL_R && row < y->shape.dim[0] * per_sample; row++) {
        double dropped = 0.0;
        if (fv_halo_pixel(&a.g, row / a.size % a.n, row % a.size) >= 0) continue;
        for (int64_t c = 0; c < a.count; c++) dropped += (double)ry->data[row * a.count + c];
        fv_ledger_add(rule->ledger, FV_SINK_DROP, row / per_sample, dropped);
    }
    return fv_relevance_move(y, ry, rx, rule);
}

const fv_op fv_op_halo_gather = {.name = "halo_gather",
                                 .arity = 1,
                                 .attr_bytes = sizeof(gather_attr),
                                 .shape = shape,
                                 .forward = forward,
                                 .backward = backward,
                                 .relevance = relevance,
                                 .cost = fv_cost_elementwise};

fv_var *fv_halo_gather(fv_var *x, int64_t block, int64_t halo, int64_t heads, int64_t first,
                       int64_t count) {
    return fv_apply(&fv_op_halo_gather, (fv_var *[]){x},
                    &(gather_attr){block, halo, heads, first, count});
}
