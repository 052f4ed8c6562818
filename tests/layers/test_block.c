#include "layers/block.h"

#include "core/alloc.h"
#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

enum { B = 64, N = 5, C = 8 };

static layer_run run;
static fv_block block;
static float first[B * N * C];

static void enter(void) { layer_run_open(&run); }
static void leave(void) {
    fv_alloc_fail_at(0);
    layer_run_close(&run);
}

TestSuite(layers_block, .init = enter, .fini = leave);

static fv_status init(float drop_path) {
    const fv_block_config cfg = {.shape = {.n_tokens = N,
                                           .n_prefix = 1,
                                           .grid_h = 2,
                                           .grid_w = 2,
                                           .dim = C,
                                           .heads = 2,
                                           .qkv_bias = true,
                                           .proj_bias = true},
                                 .mlp_hidden = 16,
                                 .norm_eps = 1e-6f,
                                 .drop_path = drop_path};
    return fv_block_init(&block, layer_run_scope(&run, "blocks.0"), &cfg);
}

static fv_var *forward(const fv_step *step) {
    fv_var *x = layer_run_begin(&run, step, fv_shape_of(3, (int64_t)B, (int64_t)N, (int64_t)C));
    fv_var *y = fv_keep(fv_block_forward(&block, x));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    return y;
}

Test(layers_block, declares_in_the_order_of_published_weights) {
    static const char *const names[] = {"norm1.weight",  "norm1.bias",       "attn.qkv.weight",
                                        "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias",
                                        "norm2.weight",  "norm2.bias",       "mlp.fc1.weight",
                                        "mlp.fc1.bias",  "mlp.fc2.weight",   "mlp.fc2.bias"};
    cr_assert_eq(init(0.0f), FV_OK);
    cr_assert_eq(run.params.count, 12);
    for (int i = 0; i < 12; i++) cr_assert_str_eq(run.params.item[i]->name + 9, names[i]);
}

Test(layers_block, fused_modes_equal_the_composed_one) {
    cr_assert_eq(init(0.0f), FV_OK);
    layer_run_ready(&run);
    memcpy(first, forward(&(fv_step){.mode = FV_EXPLAIN})->data, sizeof first);
    for (int mode = FV_TRAIN; mode <= FV_INFER; mode++) {
        const float *y = forward(&(fv_step){.mode = (fv_mode)mode})->data;
        for (int i = 0; i < B * N * C; i++) cr_assert_float_eq(y[i], first[i], 1e-5f);
    }
}

Test(layers_block, names_what_is_inside) {
    static const char *const names[] = {"blocks.0",          "blocks.0.norm1", "blocks.0.attn",
                                        "blocks.0.attn.qkv", "blocks.0.mid",   "blocks.0.norm2",
                                        "blocks.0.mlp"};
    cr_assert_eq(init(0.0f), FV_OK);
    layer_run_ready(&run);
    cr_assert_eq(fv_tape_watch(run.tape, "*", FV_WATCH_VALUE), FV_OK);
    const fv_var *y = forward(&(fv_step){.mode = FV_INFER});
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_assert_not_null(fv_tape_find(run.tape, names[i]), "%s", names[i]);
    cr_assert_eq(fv_tape_find(run.tape, "blocks.0"), y);
    cr_assert_str_eq(fv_tape_scope(run.tape, ""), "", "the caller's scope is back");
}

/* Between input and mid, mid and output: each branch of a sample is either the full one divided by
 * the chance to keep it, or nothing; both choices are their own. */
Test(layers_block, stochastic_depth_drops_whole_branches_of_samples) {
    int kept[2][2] = {{0}};

    cr_assert_eq(init(0.5f), FV_OK);
    layer_run_ready(&run);
    cr_assert_eq(fv_tape_watch(run.tape, "blocks.0.*", FV_WATCH_VALUE), FV_OK);
    const fv_var *y = forward(&(fv_step){.mode = FV_TRAIN, .seed = 3});
    const float *x = fv_tape_at(run.tape, 0)->data, *out = y->data;
    const float *mid = fv_tape_find(run.tape, "blocks.0.mid")->data;
    const float *attn = fv_tape_find(run.tape, "blocks.0.attn")->data;
    const float *mlp = fv_tape_find(run.tape, "blocks.0.mlp")->data;
    for (int b = 0; b < B; b++) {
        const int at = b * N * C;
        const bool one = mid[at] != x[at], two = out[at] != mid[at];
        for (int i = at; i < at + N * C; i++) {
            cr_assert_float_eq(mid[i], x[i] + (one ? 2.0f * attn[i] : 0.0f), 1e-5f);
            cr_assert_float_eq(out[i], mid[i] + (two ? 2.0f * mlp[i] : 0.0f), 1e-5f);
        }
        kept[one][two]++;
    }
    for (int i = 0; i < 4; i++) cr_assert_gt(kept[i / 2][i % 2], 4, "about a quarter of 64 each");
}

Test(layers_block, stochastic_depth_is_for_training) {
    cr_assert_eq(init(0.5f), FV_OK);
    layer_run_ready(&run);
    memcpy(first, forward(&(fv_step){.mode = FV_INFER})->data, sizeof first);
    block.drop_path = 0.0f;
    cr_assert_eq(memcmp(first, forward(&(fv_step){.mode = FV_INFER})->data, sizeof first), 0);
}

Test(layers_block, every_failed_allocation_is_an_error) {
    fv_status status = FV_ERR_NOMEM;
    uint64_t n = 1;

    for (; status != FV_OK && n < 1000; n++) {
        layer_run_close(&run);
        layer_run_open(&run);
        run.arena.chunk_bytes = 64; /* every piece its own allocation */
        fv_alloc_fail_at(n);
        status = init(0.0f);
        fv_alloc_fail_at(0);
        cr_assert(status == FV_OK || status == FV_ERR_NOMEM, "%s", fv_error_message());
    }
    cr_assert_gt(n, 20);
}
