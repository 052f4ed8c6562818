/* Every op of fv_ops[]: what its bits may depend on, and what its backward may read. */
#include "core/op.h"
#include "tests/support/approx.h"
#include "tests/support/op_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 7
#define CHUNK   2

static op_data data;

static void leave(void) {
    op_data_destroy(&data);
    fv_threads_set(1);
    fv_scratch_release();
}

TestSuite(core_op_bits, .fini = leave);

static void create(const op_case *c, bool bf16) {
    op_data_destroy(&data);
    cr_assert_eq(op_data_create(c, SAMPLES, bf16, &data), FV_OK, "%s", fv_error_message());
}

static op_result run(const op_settings *settings) {
    op_result result;
    cr_assert_eq(op_run(&data, settings, &result), FV_OK, "%s %s: %s", data.c->op, data.c->variant,
                 fv_error_message());
    return result;
}

static bool same_gradients(const op_result *a, const op_result *b) {
    for (int i = 0; i < data.c->n_in; i++)
        if (a->dx[i] && !approx_same(data.numel[i], a->dx[i], b->dx[i])) return false;
    return true;
}

static void expect_same(const op_result *a, const op_result *b, const char *what, int number) {
    cr_expect(approx_same(data.n_y, a->y, b->y), "%s %s: values differ, %s %d", data.c->op,
              data.c->variant, what, number);
    cr_expect(same_gradients(a, b), "%s %s: gradients differ, %s %d", data.c->op, data.c->variant,
              what, number);
}

Test(core_op_bits, threads_do_not_matter) {
    const op_case *c;
    for (int k = 0; (c = op_case_at(k)); k++) {
        const op_settings settings = {.mode = FV_TRAIN, .chunk = CHUNK, .add = true};
        create(c, c->bf16 != 0.0f);
        fv_threads_set(1);
        const op_result one = run(&settings);
        for (int threads = 2; threads <= 4; threads *= 2) {
            fv_threads_set(threads);
            const op_result many = run(&settings);
            expect_same(&one, &many, "threads", threads);
        }
    }
}

Test(core_op_bits, passes_do_not_matter) {
    const op_case *c;
    fv_threads_set(2);
    for (int k = 0; (c = op_case_at(k)); k++) {
        if (c->whole_batch) continue;
        create(c, c->bf16 != 0.0f);
        const op_result one = run(&(op_settings){.mode = FV_TRAIN, .chunk = CHUNK});
        for (int64_t pass = CHUNK; pass <= 2 * CHUNK; pass += CHUNK) {
            const op_settings settings = {.mode = FV_TRAIN, .chunk = CHUNK, .pass = pass};
            const op_result several = run(&settings);
            expect_same(&one, &several, "samples per pass", (int)pass);
        }
    }
}

Test(core_op_bits, chunks_change_rounding_only) {
    const op_case *c;
    for (int k = 0; (c = op_case_at(k)); k++) {
        create(c, false);
        const op_result whole = run(&(op_settings){.mode = FV_TRAIN});
        const op_result cut = run(&(op_settings){.mode = FV_TRAIN, .chunk = CHUNK});
        for (int i = 0; i < c->n_in; i++) {
            if (!whole.dx[i]) continue;
            double *want = fv_arena_alloc(&data.arena, (size_t)data.numel[i], sizeof *want);
            for (int64_t e = 0; e < data.numel[i]; e++) want[e] = (double)whole.dx[i][e];
            const double error = approx_error(data.numel[i], cut.dx[i], want);
            cr_expect_leq(error, 1e-5, "%s %s, input %d: %g", c->op, c->variant, i, error);
        }
    }
}

Test(core_op_bits, restored_values_are_the_same) {
    const op_case *c;
    int restored = 0;

    for (int k = 0; (c = op_case_at(k)); k++)
        for (int bf16 = 0; bf16 <= (c->bf16 != 0.0f); bf16++) {
            create(c, bf16);
            const op_result kept = run(&(op_settings){.mode = FV_TRAIN, .chunk = CHUNK});
            const op_result again =
                run(&(op_settings){.mode = FV_TRAIN, .chunk = CHUNK, .forget = true});
            expect_same(&kept, &again, "restored", bf16);
            restored += op_case_op(c)->restore != NULL;
        }
    cr_assert_gt(restored, 0);
}

/* The single op that FV_TRAIN applies for a case. */
static uint32_t declared_reads(const op_case *c) { return op_case_op(c)->reads; }

/* Backward after one tensor was spoiled: the same exactly when `reads` does not name it. */
static void spoil(const op_case *c, const op_result *good, uint32_t bit) {
    const bool read = declared_reads(c) & bit;
    op_data spoiled;
    op_result r;

    cr_assert_eq(op_data_create(c, SAMPLES, false, &spoiled), FV_OK);
    const op_settings settings = {.mode = FV_TRAIN, .scribble = bit};
    cr_assert_eq(op_run(&spoiled, &settings, &r), FV_OK, "%s", fv_error_message());
    if (read)
        cr_expect(!same_gradients(good, &r), "%s %s: says it reads %x but does not", c->op,
                  c->variant, bit);
    else
        cr_expect(same_gradients(good, &r), "%s %s: reads %x without saying so", c->op, c->variant,
                  bit);
    op_data_destroy(&spoiled);
}

Test(core_op_bits, backward_reads_what_it_says) {
    const op_case *c;
    for (int k = 0; (c = op_case_at(k)); k++) {
        create(c, false);
        const op_result good = run(&(op_settings){.mode = FV_TRAIN});
        for (int i = 0; i < c->n_in; i++) spoil(c, &good, FV_READS_IN(i));
        spoil(c, &good, FV_READS_Y);
    }
}

/* Stochastic depth: the factor belongs to the sample's position in the global batch and the layer. */
Test(core_op_bits, stochastic_depth_drops_at_its_rate) {
    enum { N = 4000 };
    static float zeros[N], ones[N];
    const fv_tensor x = {zeros, FV_F32, {2, {N, 1}}}, r = {ones, FV_F32, {2, {N, 1}}};
    int dropped = 0, differ = 0;
    fv_tape *tape;

    for (int i = 0; i < N; i++) ones[i] = 1.0f;
    cr_assert_eq(fv_tape_create(&tape), FV_OK);
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN, .seed = 1, .first_sample = 100});
    fv_var *in = fv_input(tape, &x, false), *branch = fv_input(tape, &r, false);
    fv_var *a = fv_keep(fv_residual(in, branch, 0.25f));
    fv_var *b = fv_keep(fv_residual(in, branch, 0.25f));
    cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
    for (int i = 0; i < N; i++) {
        const float va = ((float *)a->data)[i], vb = ((float *)b->data)[i];
        cr_assert(va == 0.0f || fabsf(va - 4.0f / 3.0f) < 1e-6f, "factor %g", (double)va);
        dropped += va == 0.0f;
        differ += va != vb;
    }
    cr_expect(abs(dropped - N / 4) < 110, "%d of %d dropped", dropped, N); /* 4 sigma */
    cr_expect(abs(differ - N * 3 / 8) < 125, "two layers differ in %d of %d", differ, N);
    fv_tape_destroy(tape);
}
