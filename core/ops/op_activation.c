/* op_activation.c - nonlinearities, element by element.  x [...] f32 or bf16 -> y [...] of the dtype asked
 * for.
 *     gelu     y = x Phi(x), Phi the standard normal distribution function (Hendrycks and Gimpel 2016)
 *     relu     y = max(x, 0), NaN stays NaN
 *     silu     y = x sigma(x), sigma(x) = 1 / (1 + e^-x) (Elfwing, Uchibe and Doya 2018)
 *     sigmoid  y = sigma(x), for gates
 * dx = dy dy/dx; relu and sigmoid find it from y, which the next product keeps anyway, so that x may
 * die. */
#include "core/ops/row.h"

#include <math.h>

#define RUN 2048 /* elements at a time: their buffers stay in L1 */

typedef struct activation_attr {
    fv_activation_kind kind;
    fv_dtype out;
} activation_attr;

static void sigmoid_backward(int64_t n, const float *y, const float *dy, float *dx) {
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * y[i] * (1.0f - y[i]);
}

static void gelu(int64_t n, const float *x, float *y) { fv_kernel()->gelu(n, x, y, FV_F32); }

static void gelu_backward(int64_t n, const float *x, const float *dy, float *dx) {
    fv_kernel()->gelu_backward(n, x, FV_F32, dy, FV_F32, dx);
}

static void compute(fv_activation_kind kind, int64_t n, const float *x, float *y) {
    const fv_kernels *k = fv_kernel();
    void (*const fn[])(int64_t, const float *, float *) = {
        [FV_GELU] = gelu, [FV_RELU] = k->relu, [FV_SILU] = k->silu, [FV_SIGMOID] = k->sigmoid};
    fn[kind](n, x, y);
}

/* from: x, or y for the kinds whose op reads that */
static void differentiate(fv_activation_kind kind, int64_t n, const float *from, const float *dy,
                          float *dx) {
    const fv_kernels *k = fv_kernel();
    void (*const fn[])(int64_t, const float *, const float *,
                       float *) = {[FV_GELU] = gelu_backward,
                                   [FV_RELU] = k->relu_backward,
                                   [FV_SILU] = k->silu_backward,
                                   [FV_SIGMOID] = sigmoid_backward};
    fn[kind](n, from, dy, dx);
}

static fv_status shape(fv_var *y) {
    FV_TRY(fv_check_dtype(y, y->in[0], true));
    y->shape = y->in[0]->shape;
    y->dtype = ((const activation_attr *)y->attr)->out;
    return FV_OK;
}

typedef struct args {
    const fv_var *y;
    const fv_var *from; /* what backward reads */
    const fv_tensor *dy;
    const fv_grad *dx;
    fv_activation_kind kind;
    int64_t n;
} args;

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const fv_var *x = a->y->in[0];
    const int64_t end = (first + count) * a->n;
    float *buffer = fv_scratch(RUN * sizeof(float));

    for (int64_t i = first * a->n; i < end; i += RUN) {
        const int64_t n = end - i < RUN ? end - i : RUN;
        float *out = fv_row_open(a->y->data, a->y->dtype, i, buffer);
        compute(a->kind, n, fv_row_read(x->data, x->dtype, i, n, buffer), out);
        fv_row_close(a->y->data, a->y->dtype, i, n, out);
    }
}

static fv_status forward(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);
    const args a = {
        .y = y, .kind = ((const activation_attr *)y->attr)->kind, .n = fv_row_length(y)};

    FV_TRY(fv_scratch_reserve(RUN * sizeof(float)));
    fv_parallel_rows(&grid, forward_rows, (void *)&a);
    return FV_OK;
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const int64_t end = (first + count) * a->n;
    float *buffer = fv_scratch(3 * RUN * sizeof(float));

    for (int64_t i = first * a->n; i < end; i += RUN) {
        const int64_t n = end - i < RUN ? end - i : RUN;
        const float *from = fv_row_read(a->from->data, a->from->dtype, i, n, buffer);
        const float *dy = fv_row_read(a->dy->data, a->dy->dtype, i, n, buffer + RUN);
        float *dx = fv_grad_open(a->dx, i, buffer + 2 * RUN);
        differentiate(a->kind, n, from, dy, dx);
        fv_grad_close(a->dx, i, n, dx);
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y);
    const args a = {.y = y,
                    .from = y->op->reads & FV_READS_Y ? y : y->in[0],
                    .dy = dy,
                    .dx = &dx[0],
                    .kind = ((const activation_attr *)y->attr)->kind,
                    .n = fv_row_length(y)};

    FV_TRY(fv_scratch_reserve(3 * RUN * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, (void *)&a);
    return FV_OK;
}

/* y / x without the division */
static float ratio(fv_activation_kind kind, float x) {
    if (kind == FV_RELU) return x > 0.0f ? 1.0f : 0.0f;
    if (kind == FV_SILU) return 1.0f / (1.0f + expf(-x));
    return 0.5f * erfcf(-x * 0.70710678118654752f);
}

typedef struct ratio_args {
    fv_activation_kind kind;
    const float *x, *g;
    float *out;
} ratio_args;

static void ratio_block(int64_t sample, int64_t begin, int64_t end, double *unused, void *arg) {
    const ratio_args *a = arg;

    (void)sample, (void)unused;
    for (int64_t i = begin; i < end; i++) a->out[i] = a->g[i] * ratio(a->kind, a->x[i]);
}

/* GI: g y / x.  R: passes. */
static fv_status relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                           const fv_rule *rule) {
    ratio_args a = {((const activation_attr *)y->attr)->kind, y->in[0]->data, ry->data, rx[0].data};

    if (ry->kind == FV_SIGNAL_R) return fv_relevance_identity(y, ry, rx, rule);
    if (a.out) fv_for_elements(1, fv_shape_numel(&y->shape), 1, ratio_block, &a);
    return FV_OK;
}

#define ACTIVATION(text, what_it_reads, rule)                                                      \
    {                                                                                              \
        .name = text, .arity = 1, .reads = (what_it_reads), .attr_bytes = sizeof(activation_attr), \
        .shape = shape, .forward = forward, .backward = backward, .relevance = (rule),             \
        .cost = fv_cost_elementwise                                                                \
    }

const fv_op fv_op_gelu = ACTIVATION("gelu", FV_READS_IN(0), relevance);
const fv_op fv_op_relu = ACTIVATION("relu", FV_READS_Y, relevance);
const fv_op fv_op_silu = ACTIVATION("silu", FV_READS_IN(0), relevance);
/* A gate is a constant to relevance (fv_gate sends it nothing), and y / x has a pole at 0.  Where gates
 * take part, R passes. */
static fv_status sigmoid_relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                                   const fv_rule *rule) {
    if (rule->uniform_gate && ry->kind == FV_SIGNAL_R)
        return fv_relevance_identity(y, ry, rx, rule);
    return fv_relevance_none(y, ry, rx, rule);
}

const fv_op fv_op_sigmoid = ACTIVATION("sigmoid", FV_READS_Y, sigmoid_relevance);

fv_var *fv_activation(fv_var *x, fv_activation_kind kind, fv_dtype out) {
    static const fv_op *const ops[] = {[FV_GELU] = &fv_op_gelu,
                                       [FV_RELU] = &fv_op_relu,
                                       [FV_SILU] = &fv_op_silu,
                                       [FV_SIGMOID] = &fv_op_sigmoid};
    return fv_apply(ops[kind], (fv_var *[]){x}, &(activation_attr){kind, out});
}

fv_var *fv_gelu(fv_var *x) { return fv_activation(x, FV_GELU, x->dtype); }
fv_var *fv_relu(fv_var *x) { return fv_activation(x, FV_RELU, x->dtype); }
fv_var *fv_silu(fv_var *x) { return fv_activation(x, FV_SILU, x->dtype); }
fv_var *fv_sigmoid(fv_var *x) { return fv_activation(x, FV_SIGMOID, x->dtype); }
