#include "core/ops.h"
#include "core/parallel.h"
#include "core/tape.h"

#include <criterion/criterion.h>

/* Several pages: what a recorded step gives back too early is seen. */
enum { MANY = 1 << 16 };

static fv_tape *tape;

static void enter(void) { cr_assert_eq(fv_tape_create(&tape), FV_OK); }

static void leave(void) {
    fv_tape_destroy(tape);
    fv_scratch_release();
}

TestSuite(core_gradient_pass, .init = enter, .fini = leave);

static float x[MANY], dy[MANY];

static fv_var *input(void) {
    const fv_tensor t = {x, FV_F32, fv_shape_of(2, (int64_t)1, (int64_t)MANY)};
    return fv_input(tape, &t, true);
}

static void expect_multiple(const fv_tensor *grad, float factor, const char *what) {
    cr_assert(grad->data, "%s", what);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(((const float *)grad->data)[i], factor * dy[i], "%s, element %d", what, i);
}

/* Sums pass their gradient on: handed over to one term, copied or added to the others, and to all of them
 * where somebody watches it. */
static void check_sums(fv_mode mode, bool watched) {
    for (int round = 0; round < 3; round++) { /* recorded, replayed */
        fv_tape_begin(tape, &(fv_step){.mode = mode, .samples = 1});
        fv_var *in = input();
        fv_var *a = fv_scale(in, 2.0f);
        fv_var *three = fv_scale(a, 3.0f), *s = fv_tap(fv_add(a, three), "s");
        fv_var *r = fv_residual(s, fv_scale(s, 0.5f), 0.0f);
        fv_var *twice = fv_add(r, r);
        fv_var *y = fv_add(twice, fv_scale(a, 5.0f));
        for (int again = 0; again <= (mode == FV_EXPLAIN); again++)
            cr_assert_eq(fv_tape_backward(tape, y, dy), FV_OK, "%s", fv_error_message());
        cr_assert_eq(twice->grad_buffer, y->grad_buffer);
        cr_assert_eq(r->grad_buffer, y->grad_buffer);
        cr_assert_eq(s->grad_buffer, y->grad_buffer);
        cr_assert_eq(three->grad_buffer == y->grad_buffer, !watched, "a has one by then");
        cr_assert_neq(a->grad_buffer, y->grad_buffer);
        expect_multiple(&in->grad, 2.0f * (5.0f + 2.0f * 1.5f * 4.0f), "the input");
        if (watched) expect_multiple(&s->grad, 2.0f * 1.5f, "the watched sum");
    }
}

Test(core_gradient_pass, sums_pass_their_gradient_on) {
    for (int i = 0; i < MANY; i++) dy[i] = (float)(i % 251 - 125);
    for (int watched = 0; watched < 2; watched++) {
        if (watched) fv_tape_watch(tape, "s", FV_WATCH_GRAD);
        check_sums(FV_TRAIN, watched);
        check_sums(FV_EXPLAIN, watched);
    }
}

/* An input that wants no gradient takes none. */
Test(core_gradient_pass, a_sum_with_a_constant) {
    const fv_tensor t = {x, FV_F32, fv_shape_of(2, (int64_t)1, (int64_t)MANY)};

    for (int i = 0; i < MANY; i++) dy[i] = (float)(i % 13);
    for (int first = 0; first < 2; first++) {
        fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN, .samples = 1});
        fv_var *in = input(), *constant = fv_input(tape, &t, false);
        fv_var *y = first ? fv_add(constant, in) : fv_add(in, constant);
        cr_assert_eq(fv_tape_backward(tape, fv_scale(y, 3.0f), dy), FV_OK);
        expect_multiple(&in->grad, 3.0f, "the input");
        cr_expect_null(constant->grad.data);
    }
}
