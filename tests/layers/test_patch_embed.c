#include "layers/patch_embed.h"

#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

static layer_run run;
static fv_patch_embed embed;

enum { P = 2, D = 5, H = 4, W = 6 };

static void enter(void) {
    layer_run_open(&run);
    cr_assert_eq(fv_patch_embed_init(&embed, layer_run_scope(&run, "patch_embed"), D, P), FV_OK);
}
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_patch_embed, .init = enter, .fini = leave);

static double convolve(const float *image, int py, int px, int d) {
    double sum = (double)layer_run_value(&run, "patch_embed.proj.bias", d);

    for (int c = 0; c < 3; c++)
        for (int y = 0; y < P; y++)
            for (int x = 0; x < P; x++)
                sum += (double)image[((py * P + y) * W + px * P + x) * 3 + c] *
                       (double)layer_run_value(&run, "patch_embed.proj.weight",
                                               ((d * 3 + c) * P + y) * P + x);
    return sum;
}

Test(layers_patch_embed, is_a_strided_convolution) {
    layer_run_ready(&run);
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_TRAIN},
                                fv_shape_of(4, (int64_t)2, (int64_t)H, (int64_t)W, (int64_t)3));
    fv_var *y = fv_keep(fv_patch_embed_forward(&embed, x));
    char text[FV_SHAPE_TEXT];
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    cr_assert_str_eq(fv_shape_text(&y->shape, text), "2x6x5");
    for (int b = 0; b < 2; b++)
        for (int t = 0; t < 6; t++)
            for (int d = 0; d < D; d++)
                cr_assert_float_eq(
                    (double)((float *)y->data)[(b * 6 + t) * D + d],
                    convolve((const float *)x->data + b * H * W * 3, t / 3, t % 3, d), 1e-5);
}

Test(layers_patch_embed, starts_like_a_convolution_of_pytorch) {
    const float bound = 1.0f / sqrtf(3.0f * P * P);
    float largest = 0.0f;

    cr_assert_eq(fv_params_alloc(&run.params, (fv_params_alloc_options){0}), FV_OK);
    fv_params_init(&run.params, 1);
    for (int64_t i = 0; i < 3 * P * P * D; i++)
        largest = fmaxf(largest, fabsf(layer_run_value(&run, "patch_embed.proj.weight", i)));
    cr_assert_leq(largest, bound);
    cr_assert_gt(largest, 0.9f * bound);
}

Test(layers_patch_embed, an_image_that_does_not_divide_is_an_error) {
    layer_run_ready(&run);
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_TRAIN},
                                fv_shape_of(4, (int64_t)1, (int64_t)5, (int64_t)4, (int64_t)3));
    fv_patch_embed_forward(&embed, x);
    cr_assert_eq(fv_tape_status(run.tape), FV_ERR_SHAPE);
    cr_assert(strstr(fv_error_message(), "patch_embed.proj"), "%s", fv_error_message());
}
