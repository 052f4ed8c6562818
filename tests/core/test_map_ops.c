/* What the generic op tests cannot see of the ops on maps. */
#include "core/alloc.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "core/tape.h"
#include "tests/support/approx.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

static fv_tape *tape;

static void enter(void) { cr_assert_eq(fv_tape_create(&tape), FV_OK); }

static void leave(void) {
    fv_tape_destroy(tape);
    fv_scratch_release();
}

TestSuite(core_map_ops, .init = enter, .fini = leave);

static fv_var *input(float *data, fv_shape shape) {
    return fv_input(tape, &(fv_tensor){data, FV_F32, shape}, true);
}

/* ---- max pool ---- */

Test(core_map_ops, the_first_of_equal_maxima_takes_the_gradient) {
    float x[9] = {1, 2, 2, 2, 2, 1, 0, 1, 1};
    const float dy[4] = {1, 10, 100, 1000};

    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN});
    fv_var *in = input(x, (fv_shape){4, {1, 3, 3, 1}});
    fv_var *y = fv_keep(fv_max_pool(in, 2, 1, 0));
    cr_assert_eq(fv_tape_backward(tape, y, dy), FV_OK, "%s", fv_error_message());
    cr_expect(approx_same(4, y->data, (float[]){2, 2, 2, 2}));
    cr_expect(approx_same(9, in->grad.data, (float[]){0, 11, 0, 100, 1000, 0, 0, 0, 0}));
}

Test(core_map_ops, what_lies_outside_never_wins_and_nan_does) {
    float x[4] = {-5, -INFINITY, NAN, -7};

    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN});
    fv_var *y = fv_keep(fv_max_pool(input(x, (fv_shape){4, {1, 1, 4, 1}}), 3, 1, 1));
    cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
    const float *v = y->data;
    cr_expect_eq(v[0], -5.0f);
    for (int i = 1; i < 4; i++) cr_expect(isnan(v[i]));
}

/* ---- windows ---- */

Test(core_map_ops, merge_undoes_partition) {
    static float x[2 * 9 * 5 * 3], dy[2 * 9 * 5 * 3];
    const int n = (int)(sizeof x / sizeof *x);

    for (int i = 0; i < n; i++) {
        x[i] = (float)i;
        dy[i] = (float)(n - i);
    }
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN});
    fv_var *in = input(x, (fv_shape){4, {2, 9, 5, 3}});
    fv_var *w = fv_window_partition(in, 7, 4);
    fv_var *y = fv_keep(fv_window_merge(w, 7, 4, 9, 5));
    cr_assert_eq(fv_tape_backward(tape, y, dy), FV_OK, "%s", fv_error_message());
    cr_expect(fv_shape_equal(&w->shape, &(fv_shape){4, {2, 4, 28, 3}}));
    cr_expect(approx_same(n, y->data, x));
    cr_expect(approx_same(n, in->grad.data, dy));
}

Test(core_map_ops, nothing_to_pad_or_crop_is_no_op) {
    float x[12] = {0};

    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN});
    fv_var *in = input(x, (fv_shape){4, {1, 2, 3, 2}});
    cr_expect_eq(fv_pad_map(in, 2, 3), in);
    cr_expect_eq(fv_crop_map(in, 2, 3), in);
    fv_var *padded = fv_pad_map(in, 4, 3);
    cr_expect(fv_shape_equal(&padded->shape, &(fv_shape){4, {1, 4, 3, 2}}));
}

/* ---- reshape ---- */

enum { MAP = 2 * 6 * 4 };

/* Buffers that are large enough to be reused while an alias is all that still needs one of them. */
static fv_status aliased_step(fv_mode mode, bool bf16, bool watched, bool read_twice,
                              float y_out[MAP], float dx_out[MAP]) {
    static float x[MAP], dy[MAP];

    for (int i = 0; i < MAP; i++) {
        x[i] = 0.125f * (float)(i % 23) - 1.0f;
        dy[i] = 0.25f * (float)(i % 7) - 0.5f;
    }
    fv_tape_begin(tape, &(fv_step){.mode = mode, .bf16 = bf16, .samples = 2});
    fv_var *in = input(x, (fv_shape){4, {2, 2, 3, 4}});
    fv_var *a = fv_activation(in, FV_SILU, fv_product_dtype(tape));
    fv_var *t = fv_tap(fv_map_to_tokens(a), "t"); /* a lives on in t */
    fv_var *s = read_twice ? fv_scale(a, 0.5f) : NULL;
    fv_var *h = fv_scale(fv_scale(fv_scale(t, 2.0f), 2.0f), 0.25f);
    h = fv_add(h, fv_silu(t)); /* t is read late */
    if (s) h = fv_add(h, fv_map_to_tokens(s));
    h = fv_keep(fv_scale(fv_tokens_to_map(h, 3, 2), 1.0f));
    FV_TRY(fv_tape_status(tape));
    if (watched && (t->data != a->data || !fv_tape_find(tape, "t")))
        return FV_FAIL(FV_ERR_INTERNAL, "not an alias");
    if (mode != FV_INFER) FV_TRY(fv_tape_backward(tape, h, dy));
    memcpy(y_out, h->data, MAP * sizeof(float));
    if (mode != FV_INFER) memcpy(dx_out, in->grad.data, MAP * sizeof(float));
    if (watched && mode != FV_INFER && !t->grad.data)
        return FV_FAIL(FV_ERR_INTERNAL, "the watched gradient is gone");
    return FV_OK;
}

static double sigma(double v) { return 1.0 / (1.0 + exp(-v)); }
static double slope(double v) { return sigma(v) + v * sigma(v) * (1.0 - sigma(v)); }

Test(core_map_ops, an_alias_keeps_its_source_alive) {
    for (int kind = 0; kind < 12; kind++) {
        const fv_mode mode = (fv_mode)(kind % 3);
        const bool watched = kind / 3 % 2, twice = kind / 6;
        fv_tape_clear_watches(tape);
        if (watched) fv_tape_watch(tape, "t", FV_WATCH_VALUE | FV_WATCH_GRAD);
        for (int step = 0; step < 3; step++) { /* recorded, then replayed */
            float y[MAP], dx[MAP] = {0};
            double want_y[MAP], want_dx[MAP];
            for (int i = 0; i < MAP; i++) {
                const double x = 0.125 * (i % 23) - 1.0, a = x * sigma(x);
                want_y[i] = a + a * sigma(a) + (twice ? 0.5 * a : 0.0);
                want_dx[i] =
                    (0.25 * (i % 7) - 0.5) * slope(x) * (1.0 + slope(a) + (twice ? 0.5 : 0.0));
            }
            cr_assert_eq(aliased_step(mode, false, watched, twice, y, dx), FV_OK, "%s",
                         fv_error_message());
            cr_expect_lt(approx_error(MAP, y, want_y), 1e-6, "kind %d", kind);
            if (mode != FV_INFER)
                cr_expect_lt(approx_error(MAP, dx, want_dx), 1e-6, "kind %d", kind);
        }
    }
}

/* bf16: the gradient of an alias with one reader is bf16, that of its source with two is f32. */
Test(core_map_ops, aliases_convert_gradients_where_they_must) {
    for (int kind = 0; kind < 2; kind++) {
        float y[MAP], dx[MAP], y16[MAP], dx16[MAP];
        double want[MAP];
        cr_assert_eq(aliased_step(FV_TRAIN, false, false, kind, y, dx), FV_OK);
        for (int step = 0; step < 3; step++)
            cr_assert_eq(aliased_step(FV_TRAIN, true, false, kind, y16, dx16), FV_OK, "%s",
                         fv_error_message());
        for (int i = 0; i < MAP; i++) want[i] = (double)dx[i];
        cr_expect_lt(approx_error(MAP, dx16, want), 2e-2, "kind %d", kind);
    }
}
