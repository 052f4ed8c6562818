/* Values that training forgets between its passes: what goes, what stays, and that no bit depends on it. */
#include "core/alloc.h"
#include "core/op.h"
#include "core/tape_internal.h"
#include "tests/support/random_tensor.h"

#include <criterion/criterion.h>

#include <string.h>

enum { B = 4, N = 64, C = 32, HIDDEN = 4 * C, DEPTH = 6 };

/* Blocks x + fc2(gelu(fc1(norm(x)))). */
typedef struct block {
    fv_param *gamma, *beta, *w1, *b1, *w2, *b2;
} block;

static fv_arena arena;
static fv_params params;
static block blocks[DEPTH];
static fv_tensor x, dy;
static fv_tape *tape;

static fv_param *param(fv_init_kind kind, float scale, int64_t rows, int64_t columns) {
    static int number;
    const char *name = fv_arena_printf(&arena, "p%d", number++);
    const fv_shape shape = rows ? fv_shape_of(2, rows, columns) : fv_shape_of(1, columns);
    return fv_params_add(&params, name, shape, (fv_init){kind, scale});
}

static void enter(void) {
    const fv_rng_key key = {.seed = 3, .purpose = FV_RNG_TEST};

    params.arena = &arena;
    for (int i = 0; i < DEPTH; i++)
        blocks[i] =
            (block){param(FV_INIT_ONES, 0, 0, C),           param(FV_INIT_NORMAL, 0.5f, 0, C),
                    param(FV_INIT_NORMAL, 0.2f, HIDDEN, C), param(FV_INIT_NORMAL, 0.5f, 0, HIDDEN),
                    param(FV_INIT_NORMAL, 0.2f, C, HIDDEN), param(FV_INIT_NORMAL, 0.5f, 0, C)};
    cr_assert_eq(fv_params_alloc(&params, (fv_params_alloc_options){.grad = true}), FV_OK);
    fv_params_init(&params, 1);
    x = random_tensor(&key, FV_F32, (int64_t)B * N * C);
    dy =
        random_tensor(&(fv_rng_key){.seed = 4, .purpose = FV_RNG_TEST}, FV_F32, (int64_t)B * N * C);
    x.shape = dy.shape = fv_shape_of(3, (int64_t)B, (int64_t)N, (int64_t)C);
    cr_assert_eq(fv_tape_create(&tape), FV_OK);
}

static void leave(void) {
    fv_tape_destroy(tape);
    fv_free(x.data);
    fv_free(dy.data);
    fv_params_destroy(&params);
    fv_arena_destroy(&arena);
    fv_scratch_release();
}

TestSuite(core_forget, .init = enter, .fini = leave);

static fv_var *norm(fv_var *v, const block *b) {
    return fv_layernorm(v, fv_param_var(tape, b->gamma), fv_param_var(tape, b->beta), 1e-6f,
                        FV_F32);
}

static fv_var *fc1(fv_var *v, const block *b) {
    return fv_linear_gelu(v, fv_param_var(tape, b->w1), fv_param_var(tape, b->b1));
}

static fv_var *fc2(fv_var *v, const block *b) {
    return fv_linear(v, fv_param_var(tape, b->w2), fv_param_var(tape, b->b2));
}

static void begin(int64_t recompute) {
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN, .samples = B, .recompute = recompute});
}

static void no_edit(fv_var *v, const char *name, void *user) { (void)v, (void)name, (void)user; }

/* Gradients of the parameters, in the arena. */
static const float *backward(fv_var *y) {
    const size_t n = (size_t)params.slab_numel;
    float *grad = fv_arena_alloc(&arena, n, sizeof *grad);

    memset(params.grad.base, 0, n * sizeof *grad);
    cr_assert_eq(fv_tape_backward(tape, y, dy.data), FV_OK, "%s", fv_error_message());
    memcpy(grad, params.grad.base, n * sizeof *grad);
    return grad;
}

static void expect_same(const float *a, const float *b) {
    cr_expect_arr_eq(a, b, (size_t)params.slab_numel * sizeof *a);
}

typedef struct one_block {
    fv_var *h, *z, *y;
} one_block;

static one_block one(int64_t recompute) {
    one_block v;

    begin(recompute);
    const int64_t first = fv_recompute_begin(tape);
    v.h = norm(fv_input(tape, &x, true), &blocks[0]);
    v.z = fc1(v.h, &blocks[0]);
    v.y = fv_recompute_end(fc2(v.z, &blocks[0]), first);
    return v;
}

Test(core_forget, what_can_be_restored_goes_and_comes_back) {
    const float *grad[2];

    for (int edited = 0; edited < 2; edited++) {
        fv_tape_set_edit(tape, edited ? no_edit : NULL, NULL); /* an edit cannot be repeated */
        const one_block v = one(0);
        cr_expect_eq(v.h->forgotten, !edited);
        cr_expect_eq(v.z->forgotten, !edited);
        cr_expect_not(v.y->forgotten);
        grad[edited] = backward(v.y);
        cr_expect_not(v.z->forgotten);
    }
    expect_same(grad[0], grad[1]);
}

Test(core_forget, plans_give_the_same_bits) {
    const float *recorded = backward(one(0).y);
    const float *planned = backward(one(0).y);

    cr_assert(fv_memplan_replaying(tape->plan));
    expect_same(recorded, planned);
}

/* h stands in front of the part: it may be read behind it. */
Test(core_forget, a_late_reader_gets_it_back) {
    const float *grad[2], *sum[2];

    for (int edited = 0; edited < 2; edited++) {
        fv_tape_set_edit(tape, edited ? no_edit : NULL, NULL);
        begin(0);
        fv_var *h = norm(fv_input(tape, &x, true), &blocks[0]);
        const int64_t first = fv_recompute_begin(tape);
        fv_var *y = fv_recompute_end(fc2(fc1(h, &blocks[0]), &blocks[0]), first);
        cr_expect_eq(h->forgotten, !edited);
        fv_var *z = fv_keep(fv_add(fv_reshape(h, h->shape), y));
        cr_expect_not(h->forgotten);
        cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
        grad[edited] = backward(z);
        sum[edited] = memcpy(fv_arena_alloc(&arena, 1, sizeof(float) * B * N * C), z->data,
                             sizeof(float) * B * N * C);
    }
    expect_same(grad[0], grad[1]);
    cr_expect_arr_eq(sum[0], sum[1], sizeof(float) * B * N * C);
}

/* A norm of a norm: the second is restored from the first, which has to be restored itself. */
Test(core_forget, chains_come_back) {
    const float *grad[3];

    for (int way = 0; way < 3; way++) { /* forgotten, never, all computed again */
        fv_tape_set_edit(tape, way == 1 ? no_edit : NULL, NULL);
        begin(way == 2);
        const int64_t first = fv_recompute_begin(tape);
        fv_var *a = fc2(fc1(fv_input(tape, &x, true), &blocks[0]), &blocks[0]);
        fv_var *h = norm(a, &blocks[0]);
        fv_var *r = norm(h, &blocks[2]);
        r = fv_recompute_end(r, first);
        fv_var *y = fc2(fc1(r, &blocks[1]), &blocks[1]);
        const int64_t second = fv_recompute_begin(tape);
        y = fv_recompute_end(fv_scale(y, 2.0f), second);
        /* What a part that is gone left behind stays. */
        cr_expect_eq(r->forgotten, way == 0, "%d", way);
        cr_expect_eq(h->forgotten, way == 0, "%d", way);
        grad[way] = backward(y);
    }
    expect_same(grad[0], grad[1]);
    expect_same(grad[0], grad[2]);
}

Test(core_forget, kept_values_stay) {
    begin(0);
    const int64_t first = fv_recompute_begin(tape);
    fv_var *h = fv_keep(norm(fv_input(tape, &x, true), &blocks[0]));
    fv_var *y = fv_recompute_end(fc2(fc1(h, &blocks[0]), &blocks[0]), first);
    const float before = ((float *)h->data)[5];
    const void *data = h->data;
    cr_expect_not(h->forgotten);
    backward(y);
    cr_expect_eq(h->data, data);
    cr_expect_eq(((float *)h->data)[5], before);
}

/* Under a view's name too, and where the value has gone already. */
Test(core_forget, keeping_a_value_brings_it_back) {
    float *first_seen = NULL;

    for (int late = 0; late < 2; late++) {
        begin(0);
        fv_var *h = norm(fv_input(tape, &x, true), &blocks[0]);
        fv_var *view = fv_reshape(h, fv_shape_of(2, (int64_t)B, (int64_t)N * C));
        if (!late) fv_keep(view);
        const int64_t first = fv_recompute_begin(tape);
        fv_var *y =
            fv_recompute_end(fc2(fc1(fv_reshape(view, h->shape), &blocks[0]), &blocks[0]), first);
        cr_expect_eq(view->forgotten, late);
        if (late) fv_keep(view);
        cr_expect_not(view->forgotten || h->forgotten);
        backward(y);
        if (!first_seen)
            first_seen = memcpy(fv_arena_alloc(&arena, B * N * C, sizeof(float)), view->data,
                                sizeof(float) * B * N * C);
        cr_expect_arr_eq(first_seen, view->data, sizeof(float) * B * N * C);
    }
}

static void halve(fv_var *v, const char *name, void *user) {
    (void)name, (void)user;
    for (int64_t i = 0; i < fv_shape_numel(&v->shape); i++) ((float *)v->data)[i] *= 0.5f;
}

/* Backward reads the edited value though nobody may edit any more: it is not the op's. */
Test(core_forget, an_edited_value_stays) {
    const float *grad[2];

    for (int cleared = 0; cleared < 2; cleared++) {
        cr_assert_eq(fv_tape_watch(tape, "h", FV_WATCH_EDIT), FV_OK);
        fv_tape_set_edit(tape, halve, NULL);
        begin(0);
        fv_var *h = fv_tap(norm(fv_input(tape, &x, true), &blocks[0]), "h");
        fv_var *y = fc2(fc1(h, &blocks[0]), &blocks[0]);
        if (cleared) fv_tape_clear_watches(tape);
        grad[cleared] = backward(y);
        fv_tape_clear_watches(tape);
    }
    expect_same(grad[0], grad[1]);
}

static fv_status deep(size_t limit) {
    fv_tape_set_limit(tape, limit);
    /* Recorded anew: another purpose has another plan. */
    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN, .samples = B, .purpose = limit});
    fv_var *v = fv_input(tape, &x, true);
    for (int i = 0; i < DEPTH; i++) {
        const int64_t first = fv_recompute_begin(tape);
        v = fv_recompute_end(
            fv_residual(v, fc2(fc1(norm(v, &blocks[i]), &blocks[i]), &blocks[i]), 0.0f), first);
    }
    const fv_status status = fv_tape_status(tape);
    return status == FV_OK ? fv_tape_backward(tape, v, dy.data) : status;
}

/* A step that is recorded finds no places to use again: it fits because buffers are given up. */
Test(core_forget, a_first_step_holds_little_more_than_its_plan) {
    const size_t value = sizeof(float) * B * N * C;
    /* Of a block: fc1 before its activation and the sum; then a block under way and its gradients. */
    const size_t enough = (5 * DEPTH + 20) * value;

    fv_tape_set_edit(tape, no_edit, NULL); /* nothing is forgotten */
    cr_assert_eq(deep(0), FV_OK, "%s", fv_error_message());
    const size_t all = fv_memplan_bytes(tape->plan), others = fv_alloc_bytes();
    cr_assert_gt(all, enough);
    cr_assert_eq(deep(others + enough), FV_ERR_NOMEM);
    fv_tape_set_edit(tape, NULL, NULL);
    cr_assert_eq(deep(others + enough), FV_OK, "%s", fv_error_message());
}
