#include "layers/davit_block.h"

#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <string.h>

enum { B = 2, H = 3, W = 4, C = 8 };

static layer_run run;
static float got[B * H * W * C];

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_davit_block, .init = enter, .fini = leave);

static fv_block_config config(const char *kind) {
    return (fv_block_config){.shape = {.n_tokens = H * W,
                                       .grid_h = H,
                                       .grid_w = W,
                                       .dim = C,
                                       .heads = 2,
                                       .qkv_bias = true,
                                       .proj_bias = true,
                                       .kind = kind,
                                       .window = 2},
                             .mlp_hidden = 16,
                             .norm_eps = 1e-5f};
}

static fv_var *input(fv_shape shape) {
    return layer_run_begin(&run, &(fv_step){.mode = FV_TRAIN}, shape);
}

static void keep(fv_var *y) {
    fv_keep(y);
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    memcpy(got, y->data, sizeof got);
}

/* Without position convolutions it is the transformer's block on the map's tokens. */
Test(layers_davit_block, is_the_plain_block_without_positions) {
    static const char *const kinds[] = {"window", "channel", "mhsa"};
    const fv_shape map = fv_shape_of(4, (int64_t)B, (int64_t)H, (int64_t)W, (int64_t)C);
    const fv_shape tokens = fv_shape_of(3, (int64_t)B, (int64_t)H * W, (int64_t)C);

    for (int k = 0; k < 3; k++) {
        const fv_block_config cfg = config(kinds[k]);
        float want[B * H * W * C];
        fv_block plain;
        fv_davit_block block;

        layer_run_close(&run);
        layer_run_open(&run);
        cr_assert_eq(fv_block_init(&plain, layer_run_scope(&run, "b"), &cfg), FV_OK);
        layer_run_ready(&run);
        keep(fv_block_forward(&plain, input(tokens)));
        memcpy(want, got, sizeof want);

        layer_run_close(&run);
        layer_run_open(&run);
        cr_assert_eq(fv_davit_block_init(&block, layer_run_scope(&run, "b"), &cfg), FV_OK);
        layer_run_ready(&run);
        keep(fv_davit_block_forward(&block, input(map)));
        cr_assert_neq(memcmp(got, want, sizeof want), 0, "positions have an effect");
        for (int64_t i = 0; i < run.params.count; i++) {
            const fv_param *p = run.params.item[i];
            if (strstr(p->name, "cpe")) memset(p->value, 0, (size_t)p->numel * sizeof(float));
        }
        keep(fv_davit_block_forward(&block, input(map)));
        for (size_t i = 0; i < sizeof want / sizeof *want; i++)
            cr_assert_float_eq(got[i], want[i], 1e-6f, "%s", kinds[k]);
    }
}

Test(layers_davit_block, its_parts_are_tapped) {
    const fv_block_config cfg = config("window");
    static const char *const names[] = {"b",       "b.mid",  "b.cpe1", "b.cpe2",
                                        "b.norm1", "b.attn", "b.mlp"};
    fv_davit_block block;

    cr_assert_eq(fv_davit_block_init(&block, layer_run_scope(&run, "b"), &cfg), FV_OK);
    layer_run_ready(&run);
    cr_assert_eq(fv_tape_watch(run.tape, "*", FV_WATCH_VALUE), FV_OK);
    fv_davit_block_forward(&block,
                           input(fv_shape_of(4, (int64_t)B, (int64_t)H, (int64_t)W, (int64_t)C)));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_assert_not_null(fv_tape_find(run.tape, names[i]), "%s", names[i]);
}

Test(layers_davit_block, a_map_of_another_size_is_an_error) {
    const fv_block_config cfg = config("window");
    fv_davit_block block;

    cr_assert_eq(fv_davit_block_init(&block, layer_run_scope(&run, "b"), &cfg), FV_OK);
    layer_run_ready(&run);
    fv_davit_block_forward(&block,
                           input(fv_shape_of(4, (int64_t)B, (int64_t)W, (int64_t)W, (int64_t)C)));
    cr_assert_eq(fv_tape_status(run.tape), FV_ERR_SHAPE);
    cr_assert_eq(strncmp(fv_error_message(), "b", 1), 0, "%s", fv_error_message());
}
