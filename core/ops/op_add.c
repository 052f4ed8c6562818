/* op_add.c - y = a + b, equal shapes; a and b f32 or bf16, y of the dtype asked for.  da = db = dy. */
#include "core/ops/row.h"

typedef struct add_attr {
    fv_dtype out;
} add_attr;

static fv_status shape(fv_var *y) {
    const fv_var *a = y->in[0], *b = y->in[1];
    char as[FV_SHAPE_TEXT], bs[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, a, true));
    FV_TRY(fv_check_dtype(y, b, true));
    if (!fv_shape_equal(&a->shape, &b->shape))
        return FV_FAIL(FV_ERR_SHAPE, "add: %s and %s differ", fv_shape_text(&a->shape, as),
                       fv_shape_text(&b->shape, bs));
    y->shape = a->shape;
    y->dtype = ((const add_attr *)y->attr)->out;
    return FV_OK;
}

typedef struct args {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    int64_t n;
} args;

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *p = arg;
    const fv_var *a = p->y->in[0], *b = p->y->in[1];
    float *buffer = fv_scratch((size_t)(2 * p->n) * sizeof(float));

    for (int64_t i = first * p->n; i < (first + count) * p->n; i += p->n) {
        float *out = fv_row_open(p->y->data, p->y->dtype, i, buffer);
        fv_kernel()->add_scaled(p->n, fv_row_read(a->data, a->dtype, i, p->n, buffer), 1.0f,
                                fv_row_read(b->data, b->dtype, i, p->n, buffer + p->n), out);
        fv_row_close(p->y->data, p->y->dtype, i, p->n, out);
    }
}

static fv_status forward(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);
    const int64_t n = fv_row_length(y);

    FV_TRY(fv_scratch_reserve((size_t)(2 * n) * sizeof(float)));
    fv_parallel_rows(&grid, forward_rows, &(args){.y = y, .n = n});
    return FV_OK;
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *p = arg;
    float *buffer = fv_scratch((size_t)p->n * sizeof(float));

    for (int64_t i = first * p->n; i < (first + count) * p->n; i += p->n) {
        const float *dy = fv_row_read(p->dy->data, p->dy->dtype, i, p->n, buffer);
        for (int k = 0; k < 2; k++)
            if (p->dx[k].data) fv_grad_store(&p->dx[k], i, p->n, dy);
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y);
    const int64_t n = fv_row_length(y);

    FV_TRY(fv_scratch_reserve((size_t)n * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &(args){.dy = dy, .dx = dx, .n = n});
    return FV_OK;
}

const fv_op fv_op_add = {.name = "add",
                         .arity = 2,
                         .passes = 1u << 0 | 1u << 1,
                         .attr_bytes = sizeof(add_attr),
                         .shape = shape,
                         .forward = forward,
                         .backward = backward,
                         .relevance = fv_relevance_add,
                         .cost = fv_cost_elementwise};

fv_var *fv_add(fv_var *a, fv_var *b) { return fv_add_to(a, b, FV_F32); }

fv_var *fv_add_to(fv_var *a, fv_var *b, fv_dtype out) {
    return fv_apply(&fv_op_add, (fv_var *[]){a, b}, &(add_attr){out});
}
