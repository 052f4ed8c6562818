/* op_window.c - maps cut into windows and put together again, with zeros at the bottom and right edge:
 *     window_partition  x [B,H,W,C]    -> y [B, nW, h w, C]: windows of h x w pixels, both windows and
 *                       pixels row-major; x is continued by zeros to multiples of h and w
 *     window_merge      x [B,nW,h w,C] -> y [B,H,W,C]: the inverse, the continuation left out
 *     pad_map           x [B,H,W,C]    -> y continued by zeros to multiples of h and w
 *     crop_map          x [B,H',W',C]  -> y [B,H,W,C], the upper left part
 * All four move rows of C elements between a map and a packed form of rows x cols >= H x W pixels (a
 * padded map is one window), in x's dtype; pixels of the packed form outside of the map are zeros. */
#include "core/ops/op_list.h"
#include "core/ops/row.h"

#include <inttypes.h>
#include <string.h>

typedef struct window_attr {
    int64_t h, w; /* window; multiples of pad */
    int64_t H, W; /* of y: window_merge and crop */
} window_attr;

typedef struct geometry {
    int64_t H, W, rows, cols, h, w; /* map, packed form, window */
} geometry;

static bool packs(const fv_var *y) {
    return y->op == &fv_op_window_partition || y->op == &fv_op_pad_map;
}

static int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

static geometry geometry_of(const fv_var *y) {
    const window_attr *a = y->attr;
    const fv_shape *map = packs(y) ? &y->in[0]->shape : &y->shape;
    geometry g = {.H = map->dim[1], .W = map->dim[2], .h = a->h, .w = a->w};

    if (y->op == &fv_op_crop_map) {
        g.rows = g.h = y->in[0]->shape.dim[1];
        g.cols = g.w = y->in[0]->shape.dim[2];
        return g;
    }
    g.rows = round_up(g.H, a->h);
    g.cols = round_up(g.W, a->w);
    if (y->op == &fv_op_pad_map) {
        g.h = g.rows;
        g.w = g.cols;
    }
    return g;
}

/* The packed row of a row of the map, samples included. */
static int64_t packed_row(const geometry *g, int64_t row) {
    const int64_t b = row / (g->H * g->W), i = row / g->W % g->H, j = row % g->W;
    const int64_t window = i / g->h * (g->cols / g->w) + j / g->w;
    return b * g->rows * g->cols + (window * g->h + i % g->h) * g->w + j % g->w;
}

/* Its inverse; -1 outside of the map. */
static int64_t map_row(const geometry *g, int64_t row) {
    const int64_t b = row / (g->rows * g->cols), packed = row % (g->rows * g->cols);
    const int64_t window = packed / (g->h * g->w), pixel = packed % (g->h * g->w);
    const int64_t i = window / (g->cols / g->w) * g->h + pixel / g->w;
    const int64_t j = window % (g->cols / g->w) * g->w + pixel % g->w;
    return i < g->H && j < g->W ? (b * g->H + i) * g->W + j : -1;
}

static fv_status bad_shape(const fv_var *y, const char *why) {
    const window_attr *a = y->attr;
    char text[FV_SHAPE_TEXT];
    return FV_FAIL(FV_ERR_SHAPE,
                   "%s: input %s %s (windows %" PRId64 "x%" PRId64 ", map %" PRId64 "x%" PRId64 ")",
                   y->op->name, fv_shape_text(&y->in[0]->shape, text), why, a->h, a->w, a->H, a->W);
}

static fv_status pack_shape(fv_var *y) {
    const window_attr *a = y->attr;
    const fv_shape *x = &y->in[0]->shape;

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank != 4) return bad_shape(y, "is not [B,H,W,C]");
    if (a->h < 1 || a->w < 1) return bad_shape(y, "cannot be cut");
    const geometry g = geometry_of(y);
    if (y->op == &fv_op_pad_map)
        y->shape = fv_shape_of(4, x->dim[0], g.rows, g.cols, x->dim[3]);
    else
        y->shape = fv_shape_of(4, x->dim[0], g.rows / g.h * (g.cols / g.w), g.h * g.w, x->dim[3]);
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

static fv_status unpack_shape(fv_var *y) {
    const window_attr *a = y->attr;
    const fv_shape *x = &y->in[0]->shape;
    const bool crops = y->op == &fv_op_crop_map;

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank != 4) return bad_shape(y, crops ? "is not [B,H,W,C]" : "is not [B,nW,hw,C]");
    if (a->H < 1 || a->W < 1 || (!crops && (a->h < 1 || a->w < 1)))
        return bad_shape(y, "makes no map");
    y->shape = fv_shape_of(4, x->dim[0], a->H, a->W, x->dim[3]);
    const geometry g = geometry_of(y);
    if (crops ? a->H > x->dim[1] || a->W > x->dim[2]
              : x->dim[1] != g.rows / g.h * (g.cols / g.w) || x->dim[2] != g.h * g.w)
        return bad_shape(y, "does not fit the map");
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

typedef struct args {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    geometry g;
    int64_t C;
} args;

static args make_args(const fv_var *y) {
    return (args){.y = y, .g = geometry_of(y), .C = y->shape.dim[3]};
}

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const fv_var *x = a->y->in[0];
    const size_t row_bytes = (size_t)a->C * fv_dtype_bytes(x->dtype);

    for (int64_t row = first; row < first + count; row++) {
        const int64_t from = packs(a->y) ? map_row(&a->g, row) : packed_row(&a->g, row);
        if (from < 0)
            memset((char *)a->y->data + (size_t)row * row_bytes, 0, row_bytes);
        else
            fv_row_copy(a->y->data, x->dtype, row * a->C, x->data, x->dtype, from * a->C, a->C);
    }
}

static fv_status forward(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);
    args a = make_args(y);

    fv_parallel_rows(&grid, forward_rows, &a);
    return FV_OK;
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *buffer = fv_scratch((size_t)a->C * sizeof(float));

    for (int64_t row = first; row < first + count; row++) {
        const int64_t from = packs(a->y) ? packed_row(&a->g, row) : map_row(&a->g, row);
        if (from < 0)
            fv_grad_zero(a->dx, row * a->C, a->C);
        else
            fv_grad_copy(a->dx, row * a->C, a->dy->data, a->dy->dtype, from * a->C, a->C, buffer);
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y->in[0]);
    args a = make_args(y);

    a.dy = dy;
    a.dx = &dx[0];
    FV_TRY(fv_scratch_reserve((size_t)a.C * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &a);
    return FV_OK;
}

/* Moved.  A padded pixel is 0, so its share of a GI signal is too; an R rule behind it may have sent it
 * some, which ends here. */
static fv_status pack_relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                                const fv_rule *rule) {
    const geometry g = geometry_of(y);
    const int64_t C = y->shape.dim[3], n = g.rows * g.cols;

    for (int64_t row = 0; ry->kind == FV_SIGNAL_R && row < y->shape.dim[0] * n; row++) {
        double dropped = 0.0;
        if (map_row(&g, row) >= 0) continue;
        for (int64_t c = 0; c < C; c++) dropped += (double)ry->data[row * C + c];
        fv_ledger_add(rule->ledger, FV_SINK_DROP, row / n, dropped);
    }
    return fv_relevance_move(y, ry, rx, rule);
}

#define WINDOW_OP(text, shape_rule, rule)                                                 \
    {                                                                                     \
        .name = text, .arity = 1, .attr_bytes = sizeof(window_attr), .shape = shape_rule, \
        .moves = true, .forward = forward, .backward = backward, .restore = forward,      \
        .restore_reads = FV_READS_IN(0), .relevance = rule, .cost = fv_cost_elementwise   \
    }

const fv_op fv_op_window_partition = WINDOW_OP("window_partition", pack_shape, pack_relevance);
const fv_op fv_op_window_merge = WINDOW_OP("window_merge", unpack_shape, fv_relevance_move);
const fv_op fv_op_pad_map = WINDOW_OP("pad_map", pack_shape, pack_relevance);
const fv_op fv_op_crop_map = WINDOW_OP("crop_map", unpack_shape, fv_relevance_move);

fv_var *fv_window_partition(fv_var *x, int64_t h, int64_t w) {
    return fv_apply(&fv_op_window_partition, (fv_var *[]){x}, &(window_attr){.h = h, .w = w});
}

fv_var *fv_window_merge(fv_var *x, int64_t h, int64_t w, int64_t H, int64_t W) {
    return fv_apply(&fv_op_window_merge, (fv_var *[]){x}, &(window_attr){h, w, H, W});
}

fv_var *fv_pad_map(fv_var *x, int64_t h, int64_t w) {
    const bool fits = x->shape.rank == 4 && h > 0 && w > 0 && x->shape.dim[1] % h == 0 &&
                      x->shape.dim[2] % w == 0;
    return fits ? x : fv_apply(&fv_op_pad_map, (fv_var *[]){x}, &(window_attr){.h = h, .w = w});
}

fv_var *fv_crop_map(fv_var *x, int64_t H, int64_t W) {
    const bool fits = x->shape.rank == 4 && x->shape.dim[1] == H && x->shape.dim[2] == W;
    return fits ? x : fv_apply(&fv_op_crop_map, (fv_var *[]){x}, &(window_attr){.H = H, .W = W});
}
