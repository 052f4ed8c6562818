/* What the generic op tests are too small for: images cut into bands, weights whose sums do not wait in
 * slots, and steps that allocate nothing. */
#include "core/alloc.h"
#include "core/backend/backend.h"
#include "core/op.h"
#include "core/rng.h"
#include "tests/support/approx.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#define BATCH 4

typedef struct layer {
    int64_t H, W, C, O, kernel;
    fv_conv2d_args args;
} layer;

/* A batch through one convolution: data, and the results of the step that ran last. */
static struct {
    fv_arena arena;
    fv_params params;
    fv_param *w, *b;
    fv_tape *tape;
    fv_tensor x;
    float *dy;
    int64_t n_y;
} t;

static void leave(void) {
    fv_tape_destroy(t.tape);
    fv_params_destroy(&t.params);
    fv_arena_destroy(&t.arena);
    memset(&t, 0, sizeof t);
    fv_backend_dnnl.release();
    fv_threads_set(1);
    fv_scratch_release();
}

TestSuite(core_op_conv2d, .fini = leave);

static float *numbers(int64_t n, uint32_t which) {
    const fv_rng_key key = {.seed = 21, .purpose = FV_RNG_TEST, .layer = which};
    float *v = fv_arena_alloc(&t.arena, (size_t)n, sizeof *v);
    cr_assert_not_null(v);
    for (int64_t i = 0; i < n; i++) v[i] = fv_rng_uniform(&key, (uint64_t)i) - 0.5f;
    return v;
}

static fv_conv describe(const layer *l, fv_conv_pass pass) {
    const int64_t p = l->args.padding;
    return (fv_conv){.n = 1,
                     .H = l->H,
                     .W = l->W,
                     .C = l->C,
                     .O = l->O,
                     .kh = l->kernel,
                     .kw = l->kernel,
                     .stride = l->args.stride,
                     .top = p,
                     .left = p,
                     .bottom = p,
                     .right = p,
                     .groups = 1,
                     .pass = pass,
                     .bias = 1};
}

static void create(const layer *l) {
    const fv_conv c = describe(l, FV_CONV_FORWARD);
    const fv_init zeros = {FV_INIT_ZEROS, 0};

    t.params.arena = &t.arena;
    t.w = fv_params_add(&t.params, "w", fv_shape_of(4, l->O, l->C, l->kernel, l->kernel), zeros);
    t.b = fv_params_add(&t.params, "b", fv_shape_of(1, l->O), zeros);
    cr_assert_eq(fv_params_alloc(&t.params, (fv_params_alloc_options){.grad = true}), FV_OK);
    memcpy(t.w->value, numbers(t.w->numel, 1), (size_t)t.w->numel * sizeof(float));
    memcpy(t.b->value, numbers(t.b->numel, 2), (size_t)t.b->numel * sizeof(float));
    t.x = (fv_tensor){.dtype = FV_F32, .shape = fv_shape_of(4, BATCH, l->H, l->W, l->C)};
    t.x.data = numbers(fv_shape_numel(&t.x.shape), 3);
    t.n_y = BATCH * fv_conv_rows(&c) * fv_conv_columns(&c) * l->O;
    t.dy = numbers(t.n_y, 4);
    cr_assert_eq(fv_tape_create(&t.tape), FV_OK);
}

/* A step over samples first .. first + count - 1; readers > 1 add up in dx.  Returns x. */
static fv_var *step(const layer *l, const fv_step *settings, int readers, fv_var **y) {
    fv_tensor x = t.x;
    fv_var *sum = NULL;

    x.shape.dim[0] = settings->samples;
    x.data = (float *)t.x.data + settings->first_sample * l->H * l->W * l->C;
    fv_tape_begin(t.tape, settings);
    fv_var *in = fv_input(t.tape, &x, true);
    for (int i = 0; i < readers; i++) {
        *y = fv_conv2d(in, fv_param_var(t.tape, t.w), fv_param_var(t.tape, t.b), &l->args);
        sum = sum ? fv_add(sum, *y) : *y;
    }
    fv_keep(*y);
    cr_assert_eq(fv_tape_status(t.tape), FV_OK, "%s", fv_error_message());
    const float *dy = t.dy + settings->first_sample * (t.n_y / BATCH);
    cr_assert_eq(fv_tape_backward(t.tape, sum, dy), FV_OK, "%s", fv_error_message());
    return in;
}

/* The same pass of image b by one call of the backend. */
static const double *whole(const layer *l, fv_conv_pass pass, int64_t b, int64_t n) {
    const fv_conv c = describe(l, pass);
    const float *x = (const float *)t.x.data + b * l->H * l->W * l->C;
    const float *dy = t.dy + b * (t.n_y / BATCH);
    const fv_conv_plan *plan;
    float *out = fv_arena_alloc(&t.arena, (size_t)n, sizeof *out);
    double *wide = fv_arena_alloc(&t.arena, (size_t)n, sizeof *wide);

    cr_assert(out && wide);
    cr_assert_eq(fv_backend_dnnl.conv_find(&c, &plan), FV_OK, "%s", fv_error_message());
    void *packed = fv_alloc(fv_backend_dnnl.conv_packed_bytes(plan) + 1, 1);
    cr_assert_not_null(packed);
    if (pass != FV_CONV_WEIGHTS)
        cr_assert_eq(fv_backend_dnnl.conv_pack(plan, t.w->value, packed), FV_OK);
    cr_assert_eq(fv_backend_dnnl.conv_run(plan, pass == FV_CONV_DATA ? dy : x,
                                          pass == FV_CONV_WEIGHTS ? (const void *)dy : packed,
                                          pass == FV_CONV_FORWARD ? t.b->value : NULL, out),
                 FV_OK);
    for (int64_t i = 0; i < n; i++) wide[i] = (double)out[i];
    fv_free(packed);
    return wide;
}

static void expect_close(int64_t n, const float *got, const double *want, const char *what) {
    const double error = approx_error(n, got, want);
    cr_expect_leq(error, 1e-5, "%s: error %g", what, error);
}

/* Each has more than 64 million products per image: 3x3, a stem, stride 2, and three rows
 * that nothing reads, which would be the last band. */
static const layer large[] = {{56, 56, 64, 64, 3, {.stride = 1, .padding = 1}},
                              {224, 224, 3, 64, 7, {.stride = 2, .padding = 3}},
                              {113, 113, 64, 64, 3, {.stride = 2, .padding = 1}},
                              {51, 635, 48, 96, 4, {.stride = 4}}};

Test(core_op_conv2d, bands_are_parts_of_the_whole) {
    fv_threads_set(2);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        const layer *l = &large[i];
        fv_var *y;
        leave();
        create(l);
        for (int readers = 1; readers <= 2; readers++) {
            const fv_step explain = {.mode = FV_EXPLAIN, .samples = BATCH};
            const fv_var *x = step(l, &explain, readers, &y);
            const int64_t n_x = l->H * l->W * l->C, n_y = t.n_y / BATCH, b = BATCH - 1;
            double *dx = (double *)whole(l, FV_CONV_DATA, b, n_x);
            for (int64_t e = 0; e < n_x; e++) dx[e] *= readers;
            expect_close(n_x, (const float *)x->grad.data + b * n_x, dx, "dx");
            expect_close(n_y, (const float *)y->data + b * n_y, whole(l, FV_CONV_FORWARD, b, n_y),
                         "y");
        }
    }
}

/* Its weight sums of four chunks are more than what is kept in slots. */
static const layer wide = {4, 3, 512, 512, 3, {.stride = 1, .padding = 1}};

static void expect_sum_of_images(const layer *l) {
    double *sum = fv_arena_calloc(&t.arena, (size_t)t.w->numel, sizeof *sum);
    double *bias = fv_arena_calloc(&t.arena, (size_t)l->O, sizeof *bias);

    cr_assert(sum && bias);
    for (int64_t b = 0; b < BATCH; b++) {
        const double *part = whole(l, FV_CONV_WEIGHTS, b, t.w->numel);
        for (int64_t i = 0; i < t.w->numel; i++) sum[i] += part[i];
    }
    for (int64_t i = 0; i < t.n_y; i++) bias[i % l->O] += (double)t.dy[i];
    expect_close(t.w->numel, t.w->grad, sum, "dw");
    expect_close(l->O, t.b->grad, bias, "db");
}

static void expect_same_on_threads(const layer *l, int64_t chunk) {
    static const int widths[] = {1, 2, 3, 64}; /* threads that tasks are cut for */
    float *first;
    fv_var *y;

    create(l);
    first = fv_arena_alloc(&t.arena, (size_t)(t.w->numel + l->O), sizeof *first);
    cr_assert_not_null(first);
    for (int i = 0; i < 4; i++) {
        const fv_step train = {.mode = FV_TRAIN, .samples = BATCH, .chunk_samples = chunk};
        fv_threads_set(widths[i] < 3 ? widths[i] : 3);
        fv_parallel_assume(widths[i]);
        fv_params_grad_zero(&t.params);
        step(l, &train, 1, &y);
        if (i == 0) {
            expect_sum_of_images(l);
            memcpy(first, t.w->grad, (size_t)t.w->numel * sizeof *first);
            memcpy(first + t.w->numel, t.b->grad, (size_t)l->O * sizeof *first);
        }
        cr_expect(approx_same(t.w->numel, t.w->grad, first), "%d threads", widths[i]);
        cr_expect(approx_same(l->O, t.b->grad, first + t.w->numel), "%d threads", widths[i]);
    }
    fv_parallel_assume(0);
}

Test(core_op_conv2d, gradients_of_many_weights) { expect_same_on_threads(&wide, 1); }

/* An image of 56 x 56 is a run: a chunk of four has as many. */
Test(core_op_conv2d, gradients_of_chunks_in_runs) {
    expect_same_on_threads(&large[0], 4);
    leave();
    expect_same_on_threads(&large[0], 2);
}

Test(core_op_conv2d, passes_of_many_weights) {
    fv_param_slab partial[2] = {{NULL}};
    float *once;
    fv_var *y;

    create(&wide);
    fv_threads_set(2);
    once = fv_arena_alloc(&t.arena, (size_t)t.w->numel, sizeof *once);
    cr_assert_not_null(once);
    step(&wide, &(fv_step){.mode = FV_TRAIN, .samples = BATCH, .chunk_samples = 1}, 1, &y);
    memcpy(once, t.w->grad, (size_t)t.w->numel * sizeof *once);
    fv_params_grad_zero(&t.params);
    for (int i = 0; i < 2; i++) cr_assert_eq(fv_params_slab_create(&t.params, &partial[i]), FV_OK);
    for (int64_t b = 0; b < BATCH; b++)
        step(&wide,
             &(fv_step){.mode = FV_TRAIN,
                        .first_sample = b,
                        .samples = 1,
                        .total_samples = BATCH,
                        .chunk_samples = 1,
                        .partial = partial},
             1, &y);
    cr_expect(approx_same(t.w->numel, t.w->grad, once));
    for (int i = 0; i < 2; i++) fv_params_slab_destroy(&partial[i]);
}

Test(core_op_conv2d, a_warm_step_allocates_nothing) {
    static const layer l = {12, 12, 8, 80, 3, {.stride = 2, .padding = 1}};
    const fv_step train = {.mode = FV_TRAIN, .samples = BATCH, .chunk_samples = 1};
    fv_var *y;

    create(&l);
    fv_threads_set(2);
    for (int i = 0; i < 3; i++) step(&l, &train, 1, &y);
    const uint64_t calls = fv_alloc_calls(), plans = fv_backend()->plans_created();
    step(&l, &train, 1, &y);
    cr_expect_eq(fv_alloc_calls(), calls);
    cr_expect_eq(fv_backend()->plans_created(), plans);
}

Test(core_op_conv2d, a_dense_1x1_kernel_is_a_linear_layer) {
    static const layer l = {5, 6, 8, 12, 1, {0}};
    const layer strided = {5, 6, 8, 12, 1, {.stride = 2}};
    const fv_step train = {.mode = FV_TRAIN, .samples = BATCH};
    fv_var *y;

    create(&l);
    step(&l, &train, 1, &y);
    cr_expect_str_eq(y->op->name, "linear");
    cr_expect_eq(fv_shape_numel(&y->shape), t.n_y);
    cr_expect_eq(y->shape.rank, 4);
    const layer unit = {5, 6, 8, 12, 1, {.stride = 1}};
    expect_close(t.n_y / BATCH, y->data, whole(&unit, FV_CONV_FORWARD, 0, t.n_y / BATCH), "y");
    step(&strided, &train, 1, &y);
    cr_expect_str_eq(y->op->name, "conv2d");
}
