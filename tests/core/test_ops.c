/* Every op of fv_ops[]: values against an oracle in double, gradients against central differences of
 * the oracle, shapes that must be refused, dry steps and costs. */
#include "core/op.h"

#include "core/alloc.h"
#include "tests/support/approx.h"
#include "tests/support/gradcheck.h"
#include "tests/support/op_run.h"

#include <criterion/criterion.h>

#include <string.h>

#define SAMPLES 5
#define CHECKED 100 /* elements of an input whose derivative is checked, at most */

static op_data data;

static void leave(void) {
    fv_alloc_fail_at(0);
    op_data_destroy(&data);
    fv_scratch_release();
}

TestSuite(core_ops, .fini = leave);

static void create(const op_case *c, bool bf16) {
    op_data_destroy(&data);
    cr_assert_eq(op_data_create(c, SAMPLES, bf16, &data), FV_OK, "%s %s: %s", c->op, c->variant,
                 fv_error_message());
}

static op_result run(const op_settings *settings) {
    op_result result;
    cr_assert_eq(op_run(&data, settings, &result), FV_OK, "%s %s: %s", data.c->op, data.c->variant,
                 fv_error_message());
    return result;
}

Test(core_ops, every_op_has_a_case) {
    for (int i = 0; i < fv_ops_count; i++) {
        const op_case *c;
        bool found = false;
        for (int k = 0; (c = op_case_at(k)); k++) found |= strcmp(c->op, fv_ops[i]->name) == 0;
        cr_expect(found, "%s has no case", fv_ops[i]->name);
        cr_expect(fv_ops[i]->relevance, "%s does not say what it does with relevance",
                  fv_ops[i]->name);
    }
}

Test(core_ops, cases_apply_the_op_they_name) {
    const op_case *c;
    for (int k = 0; (c = op_case_at(k)); k++) {
        fv_var *in[FV_MAX_INPUTS];
        fv_tape *tape;
        cr_assert_eq(fv_tape_create(&tape), FV_OK);
        fv_tape_begin(tape,
                      &(fv_step){.mode = FV_TRAIN, .dry = true, .running_stats = c->running_stats});
        for (int i = 0; i < c->n_in; i++) {
            fv_tensor t = {.dtype = op_in_counts(&c->in[i]) ? FV_I32 : FV_F32};
            op_in_shape(&c->in[i], SAMPLES, &t.shape);
            in[i] = fv_input(tape, &t, true);
        }
        const fv_var *y = c->build(in);
        cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
        cr_expect_str_eq(y->op->name, c->op);
        cr_expect_null(y->data, "%s: a dry step has no buffers", c->op);
        const fv_cost cost = y->op->cost(y);
        if (!y->op->alias) cr_expect_gt(cost.bytes, 0.0, "%s", c->op);
        cr_expect_geq(cost.macs, 0.0, "%s", c->op);
        fv_tape_destroy(tape);
    }
}

static void compare_values(fv_mode mode, double tolerance) {
    const op_result r = run(&(op_settings){.mode = mode});
    const double error = approx_error(data.n_y, r.y, op_data_oracle(&data));
    cr_expect_leq(error, tolerance, "%s %s, mode %d: error %g", data.c->op, data.c->variant,
                  (int)mode, error);
}

Test(core_ops, values_match_the_oracle) {
    const op_case *c;
    for (int k = 0; (c = op_case_at(k)); k++) {
        create(c, false);
        compare_values(FV_TRAIN, 1e-5);
        if (c->train_only) continue;
        compare_values(FV_INFER, 1e-5);
        compare_values(FV_EXPLAIN, 1e-5);
    }
}

static void oracle(double *const in[], double *y, void *user) {
    const op_data *d = user;
    d->c->oracle(d->samples, in, y);
}

/* Derivatives of the oracle, spread over each input; few where the oracle is slow. */
static double want[FV_MAX_INPUTS][CHECKED];
static int64_t n_checked[FV_MAX_INPUTS];

static int64_t element(int which, int64_t i) {
    return n_checked[which] > 1 ? i * (data.numel[which] - 1) / (n_checked[which] - 1) : 0;
}

static void differentiate_oracle(void) {
    const int64_t budget = 100000 / data.n_y;
    const int64_t most = budget < 6 ? 6 : (budget < CHECKED ? budget : CHECKED);
    double *y = fv_arena_alloc(&data.arena, (size_t)data.n_y, sizeof *y);

    cr_assert_not_null(y);
    for (int k = 0; k < data.c->n_in; k++) {
        n_checked[k] = data.numel[k] < most ? data.numel[k] : most;
        for (int64_t i = 0; !op_in_counts(&data.c->in[k]) && i < n_checked[k]; i++)
            want[k][i] = gradcheck_derivative(oracle, &data, data.in64, k, element(k, i), data.n_y,
                                              data.dy, y);
    }
}

static void compare_gradients(const op_settings *settings, double tolerance, const char *what) {
    const op_result r = run(settings);
    float got[CHECKED];

    for (int k = 0; k < data.c->n_in; k++) {
        if (!r.dx[k]) continue;
        for (int64_t i = 0; i < n_checked[k]; i++) got[i] = r.dx[k][element(k, i)];
        const double error = approx_error(n_checked[k], got, want[k]);
        cr_expect_leq(error, tolerance, "%s %s, input %d, %s: error %g", data.c->op,
                      data.c->variant, k, what, error);
    }
}

Test(core_ops, gradients_match_central_differences) {
    const op_case *c;
    for (int k = 0; (c = op_case_at(k)); k++) {
        create(c, false);
        differentiate_oracle();
        compare_gradients(&(op_settings){.mode = FV_TRAIN}, 2e-5, "written");
        compare_gradients(&(op_settings){.mode = FV_TRAIN, .add = true, .chunk = 2}, 2e-5,
                          "added, in chunks");
        if (!c->train_only)
            compare_gradients(&(op_settings){.mode = FV_EXPLAIN, .add = true}, 2e-5, "composed");
    }
}

Test(core_ops, bf16_is_close) {
    const op_case *c;
    for (int k = 0; (c = op_case_at(k)); k++) {
        if (c->bf16 == 0.0f) continue;
        create(c, true);
        differentiate_oracle();
        compare_values(FV_TRAIN, (double)c->bf16);
        compare_gradients(&(op_settings){.mode = FV_TRAIN}, (double)c->bf16, "bf16");
        compare_gradients(&(op_settings){.mode = FV_TRAIN, .add = true, .chunk = 2},
                          (double)c->bf16, "bf16, added");
    }
}

static void expect_refusal(const op_case *c, const op_bad *bad) {
    fv_var *in[FV_MAX_INPUTS];
    fv_tape *tape;

    cr_assert_eq(fv_tape_create(&tape), FV_OK);
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN, .running_stats = c->running_stats});
    for (int i = 0; i < c->n_in; i++) {
        const op_in *spec = &bad->in[i];
        const fv_dtype dtype = op_in_counts(spec) ? FV_I32 : (spec->bf16 ? FV_BF16 : FV_F32);
        fv_tensor t = {.dtype = dtype};
        op_in_shape(spec, SAMPLES, &t.shape);
        in[i] = fv_input(tape, &t, false);
    }
    const fv_var *y = (bad->build ? bad->build : c->build)(in);
    const fv_var *after = fv_scale(in[0], 2.0f);
    const fv_status status = fv_tape_status(tape);
    cr_expect_eq(status, bad->status ? bad->status : FV_ERR_SHAPE, "%s: %s", bad->says,
                 fv_status_text(status));
    cr_expect(strstr(fv_error_message(), bad->says), "\"%s\" does not say \"%s\"",
              fv_error_message(), bad->says);
    cr_expect_eq(y, after, "later ops return the poison variable too");
    cr_expect_eq(fv_dim(y, 3), 1);
    fv_tape_destroy(tape);
}

Test(core_ops, shapes_that_do_not_fit_are_refused) {
    for (int i = 0; i < fv_ops_count; i++) {
        const op_case *c;
        int refusals = 0;
        for (int k = 0; (c = op_case_at(k)); k++) {
            if (strcmp(c->op, fv_ops[i]->name) != 0) continue;
            for (const op_bad *bad = c->bad; bad->says; bad++, refusals++) expect_refusal(c, bad);
        }
        cr_expect_gt(refusals, 0, "%s refuses nothing", fv_ops[i]->name);
    }
}

Test(core_ops, labels_outside_of_the_classes_are_refused) {
    const float logits[6] = {0};
    for (int32_t label = -1; label <= 3; label += 4) {
        const int32_t labels[2] = {1, label};
        fv_tape *tape;
        cr_assert_eq(fv_tape_create(&tape), FV_OK);
        fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN});
        fv_var *z = fv_input(tape, &(fv_tensor){(void *)logits, FV_F32, {2, {2, 3}}}, true);
        fv_var *t = fv_input(tape, &(fv_tensor){(void *)labels, FV_I32, {1, {2}}}, false);
        fv_cross_entropy(z, t, 0.0f);
        cr_expect_eq(fv_tape_status(tape), FV_ERR_FORMAT);
        cr_expect(strstr(fv_error_message(), "of sample 1 is not in 0..2"), "%s",
                  fv_error_message());
        fv_tape_destroy(tape);
    }
}

/* Large logits must not overflow, and a certain answer costs nothing. */
Test(core_ops, cross_entropy_survives_large_logits) {
    float logits[4] = {1000.0f, -1000.0f, -1000.0f, 1000.0f};
    int32_t labels[2] = {0, 0};
    const float dy[2] = {1.0f, 1.0f};
    fv_tape *tape;

    cr_assert_eq(fv_tape_create(&tape), FV_OK);
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN});
    fv_var *z = fv_input(tape, &(fv_tensor){logits, FV_F32, {2, {2, 2}}}, true);
    fv_var *t = fv_input(tape, &(fv_tensor){labels, FV_I32, {1, {2}}}, false);
    fv_var *y = fv_keep(fv_cross_entropy(z, t, 0.0f));
    cr_assert_eq(fv_tape_backward(tape, y, dy), FV_OK, "%s", fv_error_message());
    cr_expect_eq(((float *)y->data)[0], 0.0f);
    cr_expect_float_eq(((float *)y->data)[1], 2000.0f, 1e-3f);
    cr_expect(approx_same(4, z->grad.data, (float[]){0.0f, 0.0f, -1.0f, 1.0f}));
    fv_tape_destroy(tape);
}

/* The n-th allocation of a step fails, for every n: an error each time, and no leak. */
Test(core_ops, every_allocation_may_fail) {
    const op_case *c;
    for (int k = 0; (c = op_case_at(k)); k++) {
        fv_status status = FV_ERR_NOMEM;
        uint64_t n = 0;
        create(c, false);
        while (status == FV_ERR_NOMEM && ++n < 1000) {
            op_result r;
            fv_scratch_release();
            fv_alloc_fail_at(n);
            status = op_run(&data, &(op_settings){.mode = FV_TRAIN, .chunk = 2, .add = true}, &r);
            fv_alloc_fail_at(0);
        }
        cr_expect_eq(status, FV_OK, "%s %s, allocation %d: %s", c->op, c->variant, (int)n,
                     fv_error_message());
        cr_expect_gt(n, 3);
    }
}
