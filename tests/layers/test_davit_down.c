#include "layers/davit_down.h"

#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <string.h>

static layer_run run;

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_davit_down, .init = enter, .fini = leave);

static fv_var *stem(const void *layer, fv_var *x) { return fv_davit_stem_forward(layer, x); }
static fv_var *downsample(const void *layer, fv_var *x) {
    return fv_davit_downsample_forward(layer, x);
}

/* One image of H x W x C, with zeros at the bottom and right up to rows x columns. */
static fv_var *image(int64_t H, int64_t W, int64_t C, int64_t rows, int64_t columns, bool bf16) {
    float *x = fv_arena_calloc(&run.arena, (size_t)(rows * columns * C), sizeof *x);
    for (int64_t i = 0; i < H; i++)
        for (int64_t k = 0; k < W * C; k++)
            x[i * columns * C + k] = (float)((i * 7 + k * 5) % 11) - 5.0f;
    fv_tape_begin(run.tape, &(fv_step){.mode = FV_INFER, .bf16 = bf16});
    return fv_input(run.tape, &(fv_tensor){x, FV_F32, fv_shape_of(4, (int64_t)1, rows, columns, C)},
                    false);
}

static void check_shape(const fv_var *y, const char *want) {
    char text[FV_SHAPE_TEXT];
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    cr_assert_str_eq(fv_shape_text(&y->shape, text), want);
    cr_assert_eq(y->dtype, FV_F32, "it is the residual stream");
}

Test(layers_davit_down, stem_pads_to_whole_patches) {
    fv_davit_stem m;
    float want[2 * 3 * 4];

    cr_assert_eq(fv_davit_stem_init(&m, layer_run_scope(&run, "stem"), 4, 1e-5f), FV_OK);
    layer_run_ready(&run);
    fv_var *y = fv_keep(stem(&m, image(6, 9, 3, 8, 12, false)));
    check_shape(y, "1x2x3x4");
    memcpy(want, y->data, sizeof want);
    y = fv_keep(stem(&m, image(6, 9, 3, 6, 9, false)));
    check_shape(y, "1x2x3x4");
    cr_assert_eq(memcmp(want, y->data, sizeof want), 0);
    check_shape(stem(&m, image(6, 9, 3, 6, 9, true)), "1x2x3x4");
}

/* The norm comes first, so the zeros are not what the norm makes of zeros. */
Test(layers_davit_down, downsample_pads_behind_the_norm) {
    fv_davit_downsample m;

    cr_assert_eq(fv_davit_downsample_init(&m, layer_run_scope(&run, "d"), 4, 6, 1e-5f), FV_OK);
    layer_run_ready(&run);
    fv_var *y = fv_keep(downsample(&m, image(3, 5, 4, 3, 5, false)));
    check_shape(y, "1x2x3x6");
    float corner[6];
    memcpy(corner, (float *)y->data + 5 * 6, sizeof corner); /* one pixel and three zeros */
    for (int o = 0; o < 6; o++) { /* other taps than the first have nothing to say there */
        fv_param *w = fv_params_find(&run.params, "d.conv.weight");
        for (int i = 0; i < 4; i++)
            for (int tap = 1; tap < 4; tap++) w->value[(o * 4 + i) * 4 + tap] = 100.0f;
    }
    y = fv_keep(downsample(&m, image(3, 5, 4, 3, 5, false)));
    for (int o = 0; o < 6; o++) cr_assert_float_eq(((float *)y->data)[5 * 6 + o], corner[o], 1e-5f);
    cr_assert_neq(((float *)y->data)[0], corner[0]);
    check_shape(downsample(&m, image(3, 5, 4, 3, 5, true)), "1x2x3x6");
}
