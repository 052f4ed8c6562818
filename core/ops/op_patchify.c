/* op_patchify.c - cuts images into patches, so that a patch convolution is a linear layer.
 * x [B,H,W,C] f32 -> y [B, (H/P)(W/P), C P P]: patches row-major, elements in the order of a convolution
 * weight [D,C,P,P] (channel, row, column).  A permutation: dx is the inverse one of dy. */
#include "core/ops/row.h"

typedef struct patchify_attr {
    int64_t patch;
} patchify_attr;

static fv_status shape(fv_var *y) {
    const int64_t P = ((const patchify_attr *)y->attr)->patch;
    const fv_shape *x = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], false));
    if (x->rank != 4)
        return FV_FAIL(FV_ERR_SHAPE, "patchify: input %s is not [B,H,W,C]", fv_shape_text(x, text));
    if (P < 1 || x->dim[1] % P || x->dim[2] % P)
        return FV_FAIL(FV_ERR_SHAPE, "patchify: %s does not divide into patches of %d",
                       fv_shape_text(x, text), (int)P);
    y->shape = fv_shape_of(3, x->dim[0], (x->dim[1] / P) * (x->dim[2] / P), x->dim[3] * P * P);
    y->dtype = fv_product_dtype(y->tape);
    return FV_OK;
}

typedef struct args {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    int64_t P, C, W, columns, n_patches, image; /* columns: patches per row; image: elements */
    int64_t n;                                  /* elements of a patch */
} args;

static args make_args(const fv_var *y) {
    const fv_shape *x = &y->in[0]->shape;
    const int64_t P = ((const patchify_attr *)y->attr)->patch;
    return (args){.y = y,
                  .P = P,
                  .C = x->dim[3],
                  .W = x->dim[2],
                  .columns = x->dim[2] / P,
                  .n_patches = y->shape.dim[1],
                  .image = x->dim[1] * x->dim[2] * x->dim[3],
                  .n = y->shape.dim[2]};
}

/* First element in x of line i of a patch, given by its row in y. */
static int64_t line(const args *a, int64_t row, int64_t i) {
    const int64_t b = row / a->n_patches, patch = row % a->n_patches;
    const int64_t top = patch / a->columns * a->P, left = patch % a->columns * a->P;
    return b * a->image + ((top + i) * a->W + left) * a->C;
}

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const float *x = a->y->in[0]->data;
    float *buffer = fv_scratch((size_t)a->n * sizeof(float));

    for (int64_t row = first; row < first + count; row++) {
        float *out = fv_row_open(a->y->data, a->y->dtype, row * a->n, buffer);
        for (int64_t i = 0; i < a->P; i++) {
            const float *in = x + line(a, row, i);
            for (int64_t j = 0; j < a->P; j++)
                for (int64_t c = 0; c < a->C; c++)
                    out[(c * a->P + i) * a->P + j] = in[j * a->C + c];
        }
        fv_row_close(a->y->data, a->y->dtype, row * a->n, a->n, out);
    }
}

static fv_status forward(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);
    args a = make_args(y);

    FV_TRY(fv_scratch_reserve((size_t)a.n * sizeof(float)));
    fv_parallel_rows(&grid, forward_rows, &a);
    return FV_OK;
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *buffer = fv_scratch((size_t)(a->n + a->P * a->C) * sizeof(float));
    float *pixels = buffer + a->n;

    for (int64_t row = first; row < first + count; row++) {
        const float *dy = fv_row_read(a->dy->data, a->dy->dtype, row * a->n, a->n, buffer);
        for (int64_t i = 0; i < a->P; i++) {
            for (int64_t j = 0; j < a->P; j++)
                for (int64_t c = 0; c < a->C; c++)
                    pixels[j * a->C + c] = dy[(c * a->P + i) * a->P + j];
            fv_grad_store(a->dx, line(a, row, i), a->P * a->C, pixels);
        }
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y);
    args a = make_args(y);

    a.dy = dy;
    a.dx = &dx[0];
    FV_TRY(fv_scratch_reserve((size_t)(a.n + a.P * a.C) * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &a);
    return FV_OK;
}

const fv_op fv_op_patchify = {.name = "patchify",
                              .arity = 1,
                              .attr_bytes = sizeof(patchify_attr),
                              .shape = shape,
                              .forward = forward,
                              .backward = backward,
                              .restore = forward,
                              .restore_reads = FV_READS_IN(0),
                              .moves = true,
                              .relevance = fv_relevance_move,
                              .cost = fv_cost_elementwise};

fv_var *fv_patchify(fv_var *x, int64_t patch) {
    return fv_apply(&fv_op_patchify, (fv_var *[]){x}, &(patchify_attr){patch});
}
