#include "layers/prefix_attention.h"

#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <string.h>

enum { B = 2, H = 2, W = 3, C = 4 };

static layer_run run;

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_prefix_attention, .init = enter, .fini = leave);

static fv_var *input(int64_t N, int64_t width) {
    return layer_run_begin(&run, &(fv_step){.mode = FV_TRAIN},
                           fv_shape_of(3, (int64_t)B, N, width));
}

Test(layers_prefix_attention, merge_undoes_split) {
    for (int64_t P = 0; P < 3; P++) {
        fv_var *x = input(P + H * W, C);
        const fv_prefix_parts parts = fv_prefix_split(x, P, H, W);
        const fv_var *y = fv_keep(fv_prefix_merge(parts.prefix, parts.map));
        cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
        cr_assert_eq(parts.prefix != NULL, P > 0);
        cr_assert_eq(fv_dim(parts.map, 2), W);
        cr_assert(fv_shape_equal(&x->shape, &y->shape));
        cr_assert_eq(memcmp(x->data, y->data, (size_t)fv_shape_numel(&x->shape) * sizeof(float)),
                     0);
    }
}

/* Prefix queries get what they would in attention over all tokens. */
Test(layers_prefix_attention, prefix_queries_see_all_tokens) {
    fv_var *qkv = input(2 + H * W, 3 * C);
    const float *all = fv_keep(fv_attention(qkv, 2, 0.5f))->data;
    const fv_var *y = fv_keep(fv_prefix_attention(qkv, 2, 2, 0.5f));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_dim(y, 1), 2);
    for (int i = 0; i < B * 2 * C; i++)
        cr_assert_float_eq(((float *)y->data)[i], all[i / (2 * C) * (2 + H * W) * C + i % (2 * C)],
                           1e-6f);
}
