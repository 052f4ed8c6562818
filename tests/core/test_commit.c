/* Statistics that a training step proposes and commits, seen through batch norm. */
#include "core/alloc.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "core/tape.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

enum { B = 3, N = 4, C = 2, ROWS = B * N };

static fv_arena arena;
static fv_params params;
static fv_batchnorm_stats stats;
static fv_param *weight, *bias;
static fv_tape *tape;
static float x[ROWS * C];

static void enter(void) {
    const fv_shape channels = fv_shape_of(1, (int64_t)C);
    const fv_init zeros = {FV_INIT_ZEROS, 0}, ones = {FV_INIT_ONES, 0};

    params.arena = &arena;
    weight = fv_params_add(&params, "weight", channels, ones);
    bias = fv_params_add(&params, "bias", channels, zeros);
    stats = (fv_batchnorm_stats){.eps = 1e-5f, .momentum = 0.1f};
    stats.mean = fv_params_add_buffer(&params, "running_mean", channels, zeros);
    stats.var = fv_params_add_buffer(&params, "running_var", channels, ones);
    stats.batches = fv_params_add_buffer(&params, "num_batches_tracked", (fv_shape){0}, zeros);
    cr_assert_eq(fv_params_alloc(&params, (fv_params_alloc_options){.grad = true}), FV_OK);
    fv_params_init(&params, 1);
    cr_assert_eq(fv_tape_create(&tape), FV_OK);
    for (int i = 0; i < ROWS * C; i++) x[i] = (float)(i * i % 17) - 3.0f;
}

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_tape_destroy(tape);
    fv_params_destroy(&params);
    fv_arena_destroy(&arena);
    fv_scratch_release();
}

TestSuite(core_commit, .init = enter, .fini = leave);

/* A pass over x times factor. */
static fv_var *pass(fv_step step, float factor) {
    static float scaled[ROWS * C];
    const fv_tensor t = {scaled, FV_F32, fv_shape_of(3, (int64_t)B, (int64_t)N, (int64_t)C)};

    for (int i = 0; i < ROWS * C; i++) scaled[i] = factor * x[i];
    fv_tape_begin(tape, &step);
    fv_var *y = fv_batchnorm(fv_input(tape, &t, true), fv_param_var(tape, weight),
                             fv_param_var(tape, bias), &stats, FV_F32);
    return fv_keep(y);
}

static void train(uint32_t index, int64_t first, float factor) {
    pass((fv_step){.mode = FV_TRAIN, .index = index, .first_sample = first}, factor);
    cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
}

/* The running statistics after passes with these factors. */
static void expect_running(int n, const float factors[], const char *what) {
    for (int c = 0; c < C; c++) {
        double sum = 0.0, squares = 0.0, mean = 0.0, var = 1.0;
        for (int r = 0; r < ROWS; r++) sum += (double)x[r * C + c] / ROWS;
        for (int r = 0; r < ROWS; r++) squares += pow((double)x[r * C + c] - sum, 2.0);
        for (int i = 0; i < n; i++) {
            const double f = (double)factors[i];
            mean = 0.9 * mean + 0.1 * f * sum;
            var = 0.9 * var + 0.1 * f * f * squares / (ROWS - 1); /* unbiased */
        }
        cr_expect_float_eq((double)stats.mean->value[c], mean, 1e-5, "%s", what);
        cr_expect_float_eq((double)stats.var->value[c], var, 1e-4, "%s", what);
    }
    cr_expect_eq(stats.batches->value[0], (float)n, "%s", what);
}

Test(core_commit, a_forward_pass_changes_nothing_before_the_commit) {
    train(0, 0, 1.0f);
    expect_running(0, NULL, "before");
    fv_tape_commit(tape);
    expect_running(1, (float[]){1.0f}, "after");
    fv_tape_commit(tape);
    expect_running(1, (float[]){1.0f}, "a second commit has nothing to do");
}

Test(core_commit, passes_of_an_update_follow_each_other) {
    train(4, 0, 1.0f);
    train(4, 3, 2.0f);
    pass((fv_step){.mode = FV_INFER}, 5.0f); /* looks on */
    train(4, 6, 0.5f);
    expect_running(0, NULL, "before");
    fv_tape_commit(tape);
    expect_running(3, (float[]){1.0f, 2.0f, 0.5f}, "after");
}

Test(core_commit, an_update_that_is_not_committed_leaves_no_trace) {
    train(1, 0, 3.0f);
    train(1, 3, 3.0f);
    train(2, 0, 1.0f);
    train(2, 0, 1.0f); /* tried again */
    train(2, 3, 2.0f);
    fv_tape_commit(tape);
    expect_running(2, (float[]){1.0f, 2.0f}, "after");
}

Test(core_commit, a_failed_step_leaves_no_trace) {
    x[5] = NAN;
    pass((fv_step){.mode = FV_TRAIN, .check_finite = true}, 1.0f);
    cr_assert_eq(fv_tape_status(tape), FV_ERR_NONFINITE);
    fv_tape_commit(tape);
    expect_running(0, NULL, "failed");
}

Test(core_commit, running_statistics_stay_when_they_are_used) {
    const fv_mode modes[] = {FV_TRAIN, FV_INFER, FV_EXPLAIN};
    for (int i = 0; i < 3; i++) {
        const fv_var *y = pass((fv_step){.mode = modes[i], .running_stats = true}, 1.0f);
        cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
        cr_expect_float_eq(((const float *)y->data)[3], x[3] / sqrtf(1.0f + 1e-5f), 1e-6f);
        fv_tape_commit(tape);
        expect_running(0, NULL, "unused");
    }
}

/* An op whose forward runs twice in one pass, as recomputation does, proposes the same again. */
Test(core_commit, proposing_twice_in_a_pass_starts_from_the_same_value) {
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN});
    for (int i = 0; i < 2; i++) {
        const float *now;
        float *next;
        cr_assert_eq(fv_tape_propose(tape, stats.batches, &now, &next), FV_OK);
        cr_expect_eq(*now, 0.0f);
        *next = *now + 1.0f;
    }
    fv_tape_commit(tape);
    cr_expect_eq(stats.batches->value[0], 1.0f);
}

Test(core_commit, steps_after_the_first_do_not_allocate) {
    uint64_t calls = 0;
    for (uint32_t i = 0; i < 5; i++) {
        static const float dy[ROWS * C] = {1.0f};
        if (i == 3) calls = fv_alloc_calls();
        fv_var *y = pass((fv_step){.mode = FV_TRAIN, .index = i}, 1.0f);
        cr_assert_eq(fv_tape_backward(tape, y, dy), FV_OK, "%s", fv_error_message());
        fv_tape_commit(tape);
    }
    cr_expect_eq(fv_alloc_calls(), calls);
}

/* The mean is 10^4 times the spread: E[x^2] - E[x]^2 in f32 would keep nothing of the variance. */
Test(core_commit, a_large_mean_costs_no_digits) {
    double sum = 0.0, squares = 0.0;
    for (int i = 0; i < ROWS * C; i++) x[i] = 10000.0f + (float)(i % 5) * 0.25f;
    for (int r = 0; r < ROWS; r++) sum += (double)x[r * C] / ROWS;
    for (int r = 0; r < ROWS; r++) squares += pow((double)x[r * C] - sum, 2.0);
    const fv_var *y = pass((fv_step){.mode = FV_TRAIN}, 1.0f);
    cr_assert_eq(fv_tape_status(tape), FV_OK);
    const double want = ((double)x[0] - sum) / sqrt(squares / ROWS + 1e-5);
    cr_expect_float_eq((double)((const float *)y->data)[0], want, 2e-3, "%g", want);
}
