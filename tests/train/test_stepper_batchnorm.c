/* Updates of a network with batch norm: what happens to its running statistics. */
#include "core/alloc.h"
#include "core/parallel.h"
#include "layers/batchnorm.h"
#include "layers/conv.h"
#include "layers/linear.h"
#include "train/stepper.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define EFFECTIVE 12
#define SIDE      8
#define CLASSES   3
#define WIDTH     5

static float pixels[EFFECTIVE * SIDE * SIDE * 3];
static int32_t labels[EFFECTIVE];

/* conv - batch norm - ReLU - mean - linear: chunks of two samples. */
typedef struct network {
    fv_conv_layer conv;
    fv_batchnorm_layer bn;
    fv_linear_layer head;
} network;

static fv_var *forward(const fv_model *model, fv_var *x) {
    const network *n = model->self;
    x = fv_relu(fv_batchnorm_layer_forward(&n->bn, fv_conv_layer_forward(&n->conv, x)));
    return fv_linear_layer_forward_f32(&n->head, fv_mean_tokens(x, 0, FV_F32));
}

static const fv_family family = {.name = "test", .forward = forward};

typedef struct rig {
    fv_model *model;
    fv_optimizer *optimizer;
    fv_ema *ema;
    fv_stepper *stepper;
} rig;

static void make_data(void) {
    const fv_rng_key key = {.purpose = FV_RNG_TEST};
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = fv_rng_normal(&key, i) + 0.5f;
    for (int i = 0; i < EFFECTIVE; i++) labels[i] = i % CLASSES;
}

TestSuite(train_stepper_batchnorm, .init = make_data);

#define OK(status) cr_assert_eq((status), FV_OK, "%s", fv_error_message())

static void rig_create(rig *r, int64_t batch_size) {
    fv_optimizer_config optimizer;
    fv_model *m = fv_calloc(1, sizeof *m);
    network *n = fv_arena_calloc(&m->arena, 1, sizeof *n);
    const fv_scope top = {&m->params, ""};

    *r = (rig){.model = m};
    m->params.arena = &m->arena;
    m->family = &family;
    m->name = "test";
    m->self = n;
    m->input = (fv_model_input){.height = SIDE, .width = SIDE};
    m->num_classes = CLASSES;
    m->tokens = 1200;
    OK(fv_conv_layer_init(&n->conv, fv_scope_child(top, "conv"),
                          &(fv_conv_config){.in = 3, .out = WIDTH, .kernel = 3, .padding = -1}));
    OK(fv_batchnorm_layer_init(&n->bn, fv_scope_child(top, "bn"), WIDTH));
    OK(fv_linear_layer_init(&n->head, fv_scope_child(top, "head"), WIDTH, CLASSES, true));
    OK(fv_params_alloc(&m->params, (fv_params_alloc_options){.grad = true}));
    fv_model_init(m, 3);
    fv_optimizer_config_init(&optimizer);
    OK(fv_optimizer_create(&optimizer, &m->params, &r->optimizer));
    OK(fv_ema_create(&(fv_ema_config){.decay = 0.5}, &m->params, &r->ema));
    cr_assert_eq(fv_model_chunk_samples(m), 2);
    OK(fv_stepper_create(&(fv_stepper_config){.model = m,
                                              .optimizer = r->optimizer,
                                              .ema = r->ema,
                                              .effective_batch = EFFECTIVE,
                                              .batch_size = batch_size,
                                              .clip_grad = 1.0},
                         &r->stepper));
}

static void rig_destroy(rig *r) {
    fv_stepper_destroy(r->stepper);
    fv_ema_destroy(r->ema);
    fv_optimizer_destroy(r->optimizer);
    fv_model_destroy(r->model);
}

static fv_status passes(rig *r, uint32_t index, bool check_finite) {
    const int64_t most = fv_stepper_pass_samples(r->stepper);

    for (int64_t first = 0; first < EFFECTIVE; first += most) {
        const int64_t left = EFFECTIVE - first;
        const fv_stepper_pass pass = {.index = index,
                                      .first = first,
                                      .n = left < most ? left : most,
                                      .pixels = pixels + first * SIDE * SIDE * 3,
                                      .labels = labels + first,
                                      .check_finite = check_finite};
        FV_TRY(fv_stepper_run(r->stepper, &pass));
    }
    return FV_OK;
}

/* A batch norm's statistics are those of a batch, whatever the threads need. */
Test(train_stepper_batchnorm, a_pass_holds_the_batch) {
    rig r;

    rig_create(&r, 2);
    fv_threads_set(1);
    cr_expect_eq(fv_stepper_batch_size(r.model, 100), 100);
    rig_destroy(&r);
}

static void update(rig *r, uint32_t index) {
    fv_stepper_result result;
    OK(passes(r, index, false));
    OK(fv_stepper_judge(r->stepper, &result));
    fv_stepper_commit(r->stepper, 1e-2, &result);
}

static const float *buffer(const rig *r, const char *name) {
    const fv_param *p = fv_params_find(&r->model->params, name);
    cr_assert_not_null(p);
    return p->value;
}

/* Mean and unbiased variance of the convolution's output over samples first .. first + n - 1. */
static void statistics(const rig *r, int64_t first, int64_t n, int c, double *mean, double *var) {
    const float *w = buffer(r, "conv.weight") + c * 27;
    const int64_t rows = n * SIDE * SIDE;
    double sum = 0.0, squares = 0.0;

    for (int64_t i = 0; i < rows; i++) {
        const int64_t s = first + i / (SIDE * SIDE), y = i / SIDE % SIDE, x = i % SIDE;
        double v = 0.0;
        for (int ky = 0; ky < 3; ky++)
            for (int kx = 0; kx < 3; kx++) {
                const int64_t yy = y + ky - 1, xx = x + kx - 1;
                if (yy < 0 || xx < 0 || yy >= SIDE || xx >= SIDE) continue;
                for (int k = 0; k < 3; k++)
                    v += (double)w[k * 9 + ky * 3 + kx] *
                         (double)pixels[((s * SIDE + yy) * SIDE + xx) * 3 + k];
            }
        sum += v;
        squares += v * v;
    }
    *mean = sum / (double)rows;
    *var = (squares - sum * *mean) / (double)(rows - 1);
}

Test(train_stepper_batchnorm, every_pass_moves_the_running_statistics) {
    static const int64_t sizes[] = {EFFECTIVE, 4, 8, 5}; /* 5: no whole chunks of two */

    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        double mean[WIDTH] = {0}, var[WIDTH] = {1, 1, 1, 1, 1};
        rig r;
        rig_create(&r, sizes[k]);
        const int64_t most = fv_stepper_pass_samples(r.stepper);
        cr_assert_eq(most, sizes[k]);
        for (int64_t first = 0; first < EFFECTIVE; first += most) {
            const int64_t n = EFFECTIVE - first < most ? EFFECTIVE - first : most;
            for (int c = 0; c < WIDTH; c++) {
                double m, v;
                statistics(&r, first, n, c, &m, &v);
                mean[c] = 0.9 * mean[c] + 0.1 * m;
                var[c] = 0.9 * var[c] + 0.1 * v;
            }
        }
        update(&r, 0);
        cr_assert_eq(buffer(&r, "bn.num_batches_tracked")[0],
                     (float)((EFFECTIVE + most - 1) / most));
        for (int c = 0; c < WIDTH; c++) {
            cr_assert_float_eq((double)buffer(&r, "bn.running_mean")[c], mean[c], 1e-6);
            cr_assert_float_eq((double)buffer(&r, "bn.running_var")[c], var[c], 1e-6);
        }
        rig_destroy(&r);
    }
}

Test(train_stepper_batchnorm, bits_do_not_depend_on_threads) {
    for (int64_t size = 4; size <= EFFECTIVE; size += 8) {
        float *expected = NULL;
        for (int threads = 1; threads <= 4; threads++) {
            rig r;
            fv_threads_set(threads);
            rig_create(&r, size);
            const size_t n = (size_t)r.model->params.slab_numel * sizeof(float);
            for (uint32_t i = 0; i < 3; i++) update(&r, i);
            if (!expected) expected = memcpy(fv_alloc(n, 1), r.model->params.value.base, n);
            cr_assert_eq(memcmp(expected, r.model->params.value.base, n), 0, "%d", threads);
            rig_destroy(&r);
        }
        fv_free(expected);
    }
}

/* A bad last pass: the passes before it have proposed statistics already. */
Test(train_stepper_batchnorm, a_failed_update_leaves_no_trace) {
    fv_stepper_result result;
    rig r, other;

    rig_create(&r, 4);
    rig_create(&other, 4);
    update(&r, 0);
    update(&other, 0);
    const size_t n = (size_t)r.model->params.slab_numel * sizeof(float);
    const float kept = pixels[EFFECTIVE * SIDE * SIDE * 3 - 1];
    pixels[EFFECTIVE * SIDE * SIDE * 3 - 1] = NAN;
    cr_assert_eq(passes(&r, 1, false), FV_ERR_NONFINITE);
    cr_assert_eq(passes(&r, 1, true), FV_ERR_NONFINITE);
    pixels[EFFECTIVE * SIDE * SIDE * 3 - 1] = kept;
    cr_assert_eq(memcmp(r.model->params.value.base, other.model->params.value.base, n), 0);
    cr_assert_eq(memcmp(fv_ema_slab(r.ema)->base, fv_ema_slab(other.ema)->base, n), 0);

    OK(passes(&r, 1, false)); /* good losses, a bad gradient */
    fv_params_find(&r.model->params, "head.bias")->grad[1] = INFINITY;
    cr_assert_eq(fv_stepper_judge(r.stepper, &result), FV_ERR_NONFINITE);
    cr_assert_eq(memcmp(r.model->params.value.base, other.model->params.value.base, n), 0);

    update(&r, 1); /* and it goes on as if nothing had been */
    update(&other, 1);
    cr_assert_eq(memcmp(r.model->params.value.base, other.model->params.value.base, n), 0);
    rig_destroy(&r);
    rig_destroy(&other);
}

Test(train_stepper_batchnorm, averages_take_in_statistics_and_copy_counts) {
    rig r;

    rig_create(&r, 4);
    update(&r, 0);
    float first[WIDTH];
    memcpy(first, buffer(&r, "bn.running_mean"), sizeof first);
    update(&r, 1);
    const fv_param *mean = fv_params_find(&r.model->params, "bn.running_mean");
    const fv_param *count = fv_params_find(&r.model->params, "bn.num_batches_tracked");
    const float *average = fv_param_slab_at(&r.model->params, fv_ema_slab(r.ema), mean);
    for (int c = 0; c < WIDTH; c++)
        cr_assert_float_eq(average[c], 0.5f * (first[c] + mean->value[c]), 1e-6f);
    cr_assert_eq(fv_param_slab_at(&r.model->params, fv_ema_slab(r.ema), count)[0], 6.0f);
    rig_destroy(&r);
}

Test(train_stepper_batchnorm, allocates_nothing_after_warm_up) {
    rig r;

    rig_create(&r, 4);
    for (uint32_t i = 0; i < 3; i++) update(&r, i);
    const uint64_t calls = fv_alloc_calls();
    for (uint32_t i = 3; i < 6; i++) update(&r, i);
    cr_assert_eq(fv_alloc_calls(), calls);
    rig_destroy(&r);
}
