#include "core/tape.h"

#include "core/alloc.h"
#include "core/op.h"
#include "core/ops.h"
#include "core/tree.h"
#include "tests/support/alloc_sweep.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

/* A residual branch of two layers over x [B,N,C]: big enough that dead buffers are reused. */
enum { B = 2, N = 5, C = 8, HIDDEN = 16 };

typedef struct net {
    fv_arena arena;
    fv_params params;
    fv_param *gamma, *beta, *w1, *b1, *w2, *b2;
    float x[B * N * C], dy[B * N * C];
} net;

static fv_status net_create(net *m) {
    const fv_init normal = {FV_INIT_NORMAL, 0.5f}, ones = {FV_INIT_ONES, 0};

    *m = (net){0};
    m->params.arena = &m->arena;
    m->gamma = fv_params_add(&m->params, "gamma", fv_shape_of(1, (int64_t)C), ones);
    m->beta = fv_params_add(&m->params, "beta", fv_shape_of(1, (int64_t)C), normal);
    m->w1 = fv_params_add(&m->params, "w1", fv_shape_of(2, (int64_t)HIDDEN, (int64_t)C), normal);
    m->b1 = fv_params_add(&m->params, "b1", fv_shape_of(1, (int64_t)HIDDEN), normal);
    m->w2 = fv_params_add(&m->params, "w2", fv_shape_of(2, (int64_t)C, (int64_t)HIDDEN), normal);
    m->b2 = fv_params_add(&m->params, "b2", fv_shape_of(1, (int64_t)C), normal);
    const fv_status status = fv_params_alloc(&m->params, (fv_params_alloc_options){.grad = true});
    if (status != FV_OK) return status;
    fv_params_init(&m->params, 1);
    const fv_rng_key key = {.seed = 1, .purpose = FV_RNG_TEST};
    for (int i = 0; i < B * N * C; i++) {
        m->x[i] = fv_rng_normal(&key, (uint64_t)i);
        m->dy[i] = fv_rng_normal(&key, (uint64_t)(i + B * N * C));
    }
    return FV_OK;
}

static void net_destroy(net *m) {
    fv_params_destroy(&m->params);
    fv_arena_destroy(&m->arena);
}

static fv_var *net_forward(net *m, fv_tape *tape, int depth) {
    const fv_tensor t = {m->x, FV_F32, fv_shape_of(3, (int64_t)B, (int64_t)N, (int64_t)C)};
    fv_var *x = fv_input(tape, &t, true);

    if (depth < 1) return x;
    fv_var *h = fv_layernorm(x, fv_param_var(tape, m->gamma), fv_param_var(tape, m->beta), 1e-6f,
                             fv_product_dtype(tape));
    h = fv_tap(h, "norm");
    if (depth < 2) return h;
    h = fv_linear_gelu(h, fv_param_var(tape, m->w1), fv_param_var(tape, m->b1));
    if (depth < 3) return h;
    h = fv_linear_f32(h, fv_param_var(tape, m->w2), fv_param_var(tape, m->b2));
    if (depth < 4) return h;
    h = fv_residual(fv_scale(x, 2.0f), h, 0.0f);
    return fv_keep(fv_scale(fv_tap(h, "out"), 0.5f));
}

#define FULL 4

static void begin(fv_tape *tape, fv_mode mode) {
    fv_tape_begin(tape, &(fv_step){.mode = mode, .samples = B, .chunk_samples = 1});
}

static fv_status step(net *m, fv_tape *tape, fv_mode mode) {
    begin(tape, mode);
    fv_var *y = net_forward(m, tape, FULL);
    const fv_status status = fv_tape_status(tape);
    return status == FV_OK && mode != FV_INFER ? fv_tape_backward(tape, y, m->dy) : status;
}

static net m;
static fv_tape *tape;

static void enter(void) {
    cr_assert_eq(net_create(&m), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_tape_create(&tape), FV_OK);
}

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_tape_destroy(tape);
    net_destroy(&m);
    fv_scratch_release();
}

TestSuite(core_tape, .init = enter, .fini = leave);

/* The gradients of a step, from a tape that has done nothing else. */
static const float *reference(fv_mode mode) {
    static float grad[1024];
    fv_tape *fresh = NULL;

    cr_assert_leq(m.params.slab_numel, 1024);
    cr_assert_eq(fv_tape_create(&fresh), FV_OK);
    cr_assert_eq(step(&m, fresh, mode), FV_OK, "%s", fv_error_message());
    memcpy(grad, m.params.grad.base, (size_t)m.params.slab_numel * sizeof(float));
    fv_tape_destroy(fresh);
    return grad;
}

static void expect_gradients(const float *want, const char *what) {
    cr_expect_eq(memcmp(m.params.grad.base, want, (size_t)m.params.slab_numel * sizeof(float)), 0,
                 "%s", what);
    memset(m.params.grad.base, 0, (size_t)m.params.slab_numel * sizeof(float));
}

Test(core_tape, replayed_steps_give_the_same_bits_without_allocating) {
    const float *want = reference(FV_TRAIN);
    uint64_t calls = 0;

    for (int i = 0; i < 5; i++) {
        if (i == 2) calls = fv_alloc_calls();
        cr_assert_eq(step(&m, tape, FV_TRAIN), FV_OK, "%s", fv_error_message());
        expect_gradients(want, "replayed");
    }
    cr_expect_eq(fv_alloc_calls(), calls);
}

typedef struct witness {
    const fv_var *open; /* the op under way */
    int forward, backward;
} witness;

static void see(void *user, const fv_var *y, bool backward, bool ends) {
    witness *w = user;

    cr_assert(ends ? w->open == y : !w->open, "%s", y->op->name);
    w->open = ends ? NULL : y;
    if (ends) *(backward ? &w->backward : &w->forward) += 1;
}

Test(core_tape, an_observer_sees_every_op_begin_and_end) {
    witness w = {0};

    fv_tape_observe(tape, see, &w);
    cr_assert_eq(step(&m, tape, FV_TRAIN), FV_OK, "%s", fv_error_message());
    fv_tape_observe(tape, NULL, NULL);
    cr_assert_eq(step(&m, tape, FV_TRAIN), FV_OK);
    int ops = 0;
    for (int64_t i = 0; i < fv_tape_count(tape); i++) ops += fv_tape_at(tape, i)->op != NULL;
    cr_expect_eq(w.forward, ops);
    cr_expect_eq(w.backward, ops, "each of them has a gradient");
    cr_expect_null(w.open);
}

/* Buffers of several pages, which a recorded step gives back where it can: not those that are watched. */
Test(core_tape, what_is_watched_outlives_the_recording) {
    enum { MANY = 1 << 16 };
    static float x[MANY], dy[MANY];
    const fv_tensor t = {x, FV_F32, fv_shape_of(2, (int64_t)1, (int64_t)MANY)};

    for (int i = 0; i < MANY; i++) x[i] = dy[i] = 1.0f;
    cr_assert_eq(fv_tape_watch(tape, "watched", FV_WATCH_VALUE | FV_WATCH_GRAD), FV_OK);
    for (int round = 0; round < 2; round++) { /* recorded, replayed */
        fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN, .samples = 1});
        fv_var *in = fv_input(tape, &t, true);
        fv_var *watched = fv_tap(fv_scale(fv_scale(in, 2.0f), 3.0f), "watched");
        fv_var *view = fv_reshape(watched, fv_shape_of(2, (int64_t)1, (int64_t)MANY));
        fv_var *y = fv_keep(fv_scale(view, 5.0f));
        cr_assert_eq(fv_tape_backward(tape, y, dy), FV_OK, "%s", fv_error_message());
        for (int i = 0; i < MANY; i++) {
            cr_assert_eq(((const float *)watched->data)[i], 6.0f);
            cr_assert_eq(((const float *)watched->grad.data)[i], 5.0f);
            cr_assert_eq(((const float *)y->data)[i], 30.0f);
            cr_assert_eq(((const float *)in->grad.data)[i], 30.0f);
        }
    }
}

/* What a step without its second half taught about lifetimes must not hurt the next one. */
Test(core_tape, a_step_that_stops_early_does_not_hurt_the_next) {
    const float *want = reference(FV_TRAIN);

    for (int depth = 0; depth <= FULL; depth++) {
        fv_tape_destroy(tape); /* one without a plan */
        cr_assert_eq(fv_tape_create(&tape), FV_OK);
        begin(tape, FV_TRAIN);
        net_forward(&m, tape, depth);
        cr_assert_eq(fv_tape_status(tape), FV_OK);
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(step(&m, tape, FV_TRAIN), FV_OK, "%s", fv_error_message());
            expect_gradients(want, "after a step of forward only");
        }
    }
}

static void epsilon_rule(const fv_var *y, void *user, fv_rule *rule) {
    (void)y;
    (void)user;
    *rule = (fv_rule){.kind = FV_SIGNAL_R, .epsilon = 1e-6f};
}

/* Explained steps of one shape are walked back in different ways, and more than once. */
Test(core_tape, passes_of_an_explained_step_may_change) {
    static const char *const plans[] = {"", "r", "g", "gr", "rg", "rr", "ggr", ""};
    static float dx[B * N * C], rx[B * N * C];
    const int n_plans = (int)(sizeof plans / sizeof *plans);

    for (int i = 0; i < n_plans * n_plans; i++) {
        begin(tape, FV_EXPLAIN);
        fv_var *y = net_forward(&m, tape, FULL), *x = fv_tape_at(tape, 0);
        cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
        for (const char *pass = plans[i * 3 % n_plans]; *pass; pass++) {
            const bool relevance = *pass == 'r';
            float *want = relevance ? rx : dx;
            const fv_status status =
                relevance ? fv_tape_relevance(tape, y, m.dy, FV_SIGNAL_R, epsilon_rule, NULL, NULL)
                          : fv_tape_backward(tape, y, m.dy);
            cr_assert_eq(status, FV_OK, "step %d: %s", i, fv_error_message());
            const float *got = relevance ? x->relevance.data : x->grad.data;
            if (want[0] == 0.0f) memcpy(want, got, sizeof dx);
            cr_expect_eq(memcmp(got, want, sizeof dx), 0, "step %d, pass %c", i, *pass);
        }
    }
    cr_expect(dx[0] != 0.0f && rx[0] != 0.0f);
}

/* TRAIN steps end with one backward pass; what goes beyond the record is refused, not miscomputed. */
Test(core_tape, a_second_backward_that_was_never_recorded_is_refused) {
    for (int i = 0; i < 2; i++) cr_assert_eq(step(&m, tape, FV_TRAIN), FV_OK);
    begin(tape, FV_TRAIN);
    fv_var *y = net_forward(&m, tape, FULL);
    cr_assert_eq(fv_tape_backward(tape, y, m.dy), FV_OK);
    cr_expect_eq(fv_tape_backward(tape, y, m.dy), FV_ERR_INTERNAL);
    const float *want = reference(FV_TRAIN);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(step(&m, tape, FV_TRAIN), FV_OK, "%s", fv_error_message());
        expect_gradients(want, "after the refusal");
    }
}

Test(core_tape, kinds_of_steps_may_alternate) {
    const float *want = reference(FV_TRAIN);
    uint64_t calls = 0;

    for (int i = 0; i < 12; i++) {
        if (i == 6) calls = fv_alloc_calls();
        cr_assert_eq(step(&m, tape, i % 3 == 1 ? FV_INFER : FV_TRAIN), FV_OK);
        if (i % 3 != 1) expect_gradients(want, "between other steps");
    }
    cr_expect_eq(fv_alloc_calls(), calls);
}

/* ---- errors ---- */

Test(core_tape, the_first_failure_poisons_the_step) {
    const fv_tensor t = {m.x, FV_F32, fv_shape_of(3, (int64_t)B, (int64_t)N, (int64_t)C)};
    const fv_tensor narrow = {m.x, FV_F32, fv_shape_of(2, (int64_t)B, (int64_t)N)};

    begin(tape, FV_INFER);
    fv_tape_scope(tape, "blocks.1");
    fv_var *bad = fv_add(fv_input(tape, &t, false), fv_input(tape, &narrow, false));
    const int64_t count = fv_tape_count(tape);
    fv_var *after = fv_scale(fv_add(bad, bad), 3.0f);
    cr_expect(after == bad && fv_tape_count(tape) == count);
    for (int i = 0; i < FV_MAX_RANK; i++) cr_expect_eq(fv_dim(after, i), 1);
    fv_error_clear();
    cr_expect_eq(fv_tape_status(tape), FV_ERR_SHAPE);
    cr_expect(strstr(fv_error_message(), "blocks.1"), "%s", fv_error_message());
    cr_expect_eq(fv_tape_backward(tape, after, m.dy), FV_ERR_SHAPE);
    cr_assert_eq(step(&m, tape, FV_TRAIN), FV_OK, "%s",
                 fv_error_message()); /* a new step is clean */
}

Test(core_tape, non_finite_values_are_named_where_they_arise) {
    m.x[3] = INFINITY;
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN, .check_finite = true, .samples = B});
    fv_tape_scope(tape, "stem");
    net_forward(&m, tape, FULL);
    cr_expect_eq(fv_tape_status(tape), FV_ERR_NONFINITE);
    cr_expect(strstr(fv_error_message(), "stem: layernorm"), "%s", fv_error_message());
}

Test(core_tape, a_parameter_has_one_reader_in_training) {
    begin(tape, FV_TRAIN);
    fv_param_var(tape, m.gamma);
    cr_assert_eq(fv_tape_status(tape), FV_OK);
    fv_param_var(tape, m.gamma);
    cr_expect_eq(fv_tape_status(tape), FV_ERR_UNSUPPORTED);
    cr_expect(strstr(fv_error_message(), "gamma"), "%s", fv_error_message());
}

Test(core_tape, watches_keep_values_and_gradients) {
    cr_assert_eq(fv_tape_watch(tape, "n*", FV_WATCH_VALUE | FV_WATCH_GRAD), FV_OK);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(step(&m, tape, FV_TRAIN), FV_OK);
        const fv_var *norm = fv_tape_find(tape, "norm");
        cr_assert(norm && norm->data && norm->grad.data);
        cr_expect_null(fv_tape_find(tape, "out"));
        for (int64_t r = 0; r < B * N; r++) { /* rows of a norm without beta have mean 0 */
            double sum = 0;
            for (int64_t k = 0; k < C; k++)
                sum += (double)((float *)norm->data)[r * C + k] - (double)m.beta->value[k];
            cr_expect_lt(fabs(sum), 1e-5);
        }
    }
    fv_tape_clear_watches(tape);
    cr_assert_eq(step(&m, tape, FV_TRAIN), FV_OK);
    cr_expect_null(fv_tape_find(tape, "norm"));
}

/* Composed in EXPLAIN: the layer's output before its activation. */
Test(core_tape, what_reads_a_parameter_can_be_watched_by_its_name) {
    cr_assert_eq(fv_tape_watch(tape, "w1.output", FV_WATCH_GRAD), FV_OK);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(step(&m, tape, FV_EXPLAIN), FV_OK);
        const fv_var *y = fv_tape_find(tape, "w1.output");
        cr_assert(y && y->grad.data);
        cr_expect_str_eq(y->op->name, "linear");
        cr_expect_eq(y->in[1]->param, m.w1);
        cr_expect_null(fv_tape_find(tape, "w2.output"));
    }
}

/* ---- memory ---- */

static fv_status work(void *arg) {
    const fv_mode *mode = arg;
    net own;
    fv_tape *t = NULL;

    fv_scratch_release();
    fv_status status = net_create(&own);
    if (status == FV_OK) status = fv_tape_create(&t);
    if (status == FV_OK) status = fv_tape_watch(t, "norm", FV_WATCH_VALUE);
    for (int i = 0; status == FV_OK && i < 3; i++) status = step(&own, t, *mode);
    fv_tape_destroy(t);
    net_destroy(&own);
    return status;
}

Test(core_tape, every_allocation_may_fail) {
    for (int mode = FV_TRAIN; mode <= FV_EXPLAIN; mode++) {
        alloc_sweep_result r;
        fv_mode arg = (fv_mode)mode;
        cr_expect_eq(alloc_sweep(work, &arg, &r), FV_OK, "%s", fv_error_message());
        cr_expect(r.failures > 12 && r.tolerated <= 4, "%d, %d", (int)r.failures, (int)r.tolerated);
    }
}

/* A step that ran out of memory is tried again on the same tape and gives the same bits. */
Test(core_tape, a_step_may_be_tried_again) {
    const float *want = reference(FV_TRAIN);

    for (uint64_t n = 1;; n++) {
        fv_tape_destroy(tape);
        cr_assert_eq(fv_tape_create(&tape), FV_OK);
        fv_scratch_release();
        const uint64_t before = fv_alloc_calls();
        fv_alloc_fail_at(n);
        for (int i = 0; i < 4; i++) {
            const fv_status status = step(&m, tape, FV_TRAIN);
            cr_assert(status == FV_OK || status == FV_ERR_NOMEM, "%s", fv_error_message());
            if (status == FV_OK) expect_gradients(want, "after running out of memory");
        }
        fv_alloc_fail_at(0);
        if (fv_alloc_calls() - before < n) break;
    }
}
