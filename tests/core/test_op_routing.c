/* What the generic op tests cannot see of bi-level routing. */
#include "core/alloc.h"
#include "core/op.h"
#include "tests/support/approx.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#define R      4
#define PIXELS 3
#define C      8

static float qkv[R * PIXELS * 3 * C];
static fv_tape *tape;

static void enter(void) {
    const fv_rng_key key = {.seed = 21, .purpose = FV_RNG_TEST};

    cr_assert_eq(fv_tape_create(&tape), FV_OK);
    for (uint64_t i = 0; i < sizeof qkv / sizeof *qkv; i++) qkv[i] = fv_rng_normal(&key, i);
}

static void leave(void) {
    fv_tape_destroy(tape);
    fv_scratch_release();
}

TestSuite(core_op_routing, .init = enter, .fini = leave);

static fv_var *regions(void) {
    return fv_input(tape, &(fv_tensor){qkv, FV_F32, {4, {1, R, PIXELS, 3 * C}}}, true);
}

static fv_var *choice(int32_t *index, int64_t k) {
    return fv_input(tape, &(fv_tensor){index, FV_I32, {3, {1, R, k}}}, false);
}

static void copy_region(int to, int from) {
    const size_t n = PIXELS * 3 * C;
    memcpy(qkv + (size_t)to * n, qkv + (size_t)from * n, n * sizeof *qkv);
}

/* Padding makes several regions of one content. */
Test(core_op_routing, of_equal_regions_the_first_wins) {
    copy_region(2, 1);
    copy_region(3, 1);
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN});
    const fv_var *y = fv_keep(fv_route(regions(), R));
    cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
    for (int r = 0; r < R; r++) {
        const int32_t *row = (const int32_t *)y->data + r * R;
        const int skip = row[0] == 0; /* region 0 is first or last */
        for (int k = 0; k < R - 1; k++) cr_expect_eq(row[k + skip], k + 1);
        cr_expect_eq(row[skip ? 0 : R - 1], 0);
    }
}

Test(core_op_routing, nan_gives_some_legal_choice) {
    qkv[C] = NAN; /* a key of region 0 */
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN});
    const fv_var *y = fv_keep(fv_route(regions(), 2));
    cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
    for (int r = 0; r < R; r++) {
        const int32_t *row = (const int32_t *)y->data + 2 * r;
        cr_expect(row[0] >= 0 && row[0] < R && row[1] >= 0 && row[1] < R && row[0] != row[1]);
    }
}

Test(core_op_routing, a_choice_wants_no_gradient) {
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN});
    fv_var *x = regions(), *y = fv_route(x, 2);
    cr_expect(x->needs_grad && !y->needs_grad);
    cr_expect_eq(x->n_readers, 0, "it does not count as a reader either");
    cr_expect_eq(y->dtype, FV_I32);
}

Test(core_op_routing, cost_counts_affinities_and_products) {
    int32_t index[R * 2] = {0};
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN, .dry = true});
    const fv_var *route = fv_route(regions(), 2);
    const fv_var *y = fv_routed_attention(regions(), choice(index, 2), NULL, 2, 1.0f);
    cr_expect_eq(route->op->cost(route).macs, R * R * C);
    cr_expect_eq(y->op->cost(y).macs, 2 * R * PIXELS * 2 * PIXELS * C);
}

static void attend(int32_t *index, int64_t k, fv_mode mode, float *y, float *dx) {
    float dy[R * PIXELS * C];

    for (int i = 0; i < R * PIXELS * C; i++) dy[i] = sinf((float)i);
    fv_tape_begin(tape, &(fv_step){.mode = mode});
    fv_var *x = regions(), *out = fv_keep(fv_routed_attention(x, choice(index, k), NULL, 2, 0.3f));
    cr_assert_eq(fv_tape_backward(tape, out, dy), FV_OK, "%s", fv_error_message());
    memcpy(y, out->data, sizeof dy);
    memcpy(dx, x->grad.data, sizeof qkv);
}

static void expect_close(int n, const float *a, const float *b) {
    double want[sizeof qkv / sizeof *qkv];
    for (int i = 0; i < n; i++) want[i] = (double)b[i];
    cr_expect_leq(approx_error(n, a, want), 1e-6);
}

Test(core_op_routing, the_order_of_the_chosen_has_no_effect) {
    int32_t index[R * 3] = {0, 1, 2, 3, 2, 0, 1, 3, 2, 0, 3, 1};
    int32_t other[R * 3] = {2, 0, 1, 0, 3, 2, 3, 2, 1, 1, 3, 0};
    float y[2][R * PIXELS * C], dx[2][R * PIXELS * 3 * C];
    for (fv_mode mode = FV_TRAIN; mode <= FV_EXPLAIN; mode += FV_EXPLAIN - FV_TRAIN) {
        attend(index, 3, mode, y[0], dx[0]);
        attend(other, 3, mode, y[1], dx[1]);
        expect_close(R * PIXELS * C, y[0], y[1]);
        expect_close(R * PIXELS * 3 * C, dx[0], dx[1]);
    }
}

Test(core_op_routing, all_regions_are_global_attention) {
    int32_t index[R * R];
    float y[R * PIXELS * C], dx[R * PIXELS * 3 * C], dy[R * PIXELS * C];

    for (int i = 0; i < R * R; i++) index[i] = (i / R + i) % R;
    attend(index, R, FV_TRAIN, y, dx);
    for (int i = 0; i < R * PIXELS * C; i++) dy[i] = sinf((float)i);
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN});
    fv_var *x = fv_input(tape, &(fv_tensor){qkv, FV_F32, {3, {1, R * PIXELS, 3 * C}}}, true);
    fv_var *out = fv_keep(fv_attention(x, 2, 0.3f));
    cr_assert_eq(fv_tape_backward(tape, out, dy), FV_OK, "%s", fv_error_message());
    expect_close(R * PIXELS * C, y, out->data);
    expect_close(R * PIXELS * 3 * C, dx, x->grad.data);
}

Test(core_op_routing, regions_that_do_not_exist_are_refused) {
    for (int32_t bad = -1; bad <= R; bad += R + 1)
        for (fv_mode mode = FV_TRAIN; mode <= FV_EXPLAIN; mode += FV_EXPLAIN - FV_TRAIN) {
            int32_t index[R * 2] = {0, 1, 2, 3, 0, bad, 1, 2};
            fv_tape_begin(tape, &(fv_step){.mode = mode});
            fv_routed_attention(regions(), choice(index, 2), NULL, 2, 1.0f);
            cr_expect_eq(fv_tape_status(tape), FV_ERR_FORMAT);
            cr_expect(strstr(fv_error_message(), "is not in 0..3"), "%s", fv_error_message());
        }
}
