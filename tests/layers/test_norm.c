#include "layers/norm.h"

#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>

static layer_run run;
static fv_norm_layer layer;

static void enter(void) {
    layer_run_open(&run);
    cr_assert_eq(fv_norm_layer_init(&layer, layer_run_scope(&run, "norm"), 6, 1e-2f), FV_OK);
}
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_norm, .init = enter, .fini = leave);

Test(layers_norm, starts_as_the_plain_norm) {
    cr_assert_eq(fv_params_alloc(&run.params, (fv_params_alloc_options){0}), FV_OK);
    fv_params_init(&run.params, 1);
    for (int64_t c = 0; c < 6; c++) {
        cr_assert_eq(layer_run_value(&run, "norm.weight", c), 1.0f);
        cr_assert_eq(layer_run_value(&run, "norm.bias", c), 0.0f);
    }
}

Test(layers_norm, follows_the_definition) {
    layer_run_ready(&run);
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_INFER},
                                fv_shape_of(3, (int64_t)2, (int64_t)2, (int64_t)6));
    fv_var *y = fv_norm_layer_forward(&layer, x);
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    for (int64_t r = 0; r < 4; r++) {
        const float *in = (const float *)x->data + 6 * r, *out = (const float *)y->data + 6 * r;
        double mean = 0.0, var = 0.0;
        for (int c = 0; c < 6; c++) mean += (double)in[c] / 6.0;
        for (int c = 0; c < 6; c++) var += ((double)in[c] - mean) * ((double)in[c] - mean) / 6.0;
        for (int c = 0; c < 6; c++) {
            const double z = ((double)in[c] - mean) / sqrt(var + 1e-2);
            const double w = (double)layer_run_value(&run, "norm.weight", c);
            cr_assert_float_eq((double)out[c],
                               z * w + (double)layer_run_value(&run, "norm.bias", c), 1e-5);
        }
    }
}

Test(layers_norm, writes_what_products_read) {
    layer_run_ready(&run);
    const fv_shape shape = fv_shape_of(2, (int64_t)2, (int64_t)6);
    const fv_step bf16 = {.mode = FV_TRAIN, .bf16 = true}, f32 = {.mode = FV_TRAIN};
    cr_assert_eq(fv_norm_layer_forward(&layer, layer_run_begin(&run, &bf16, shape))->dtype,
                 FV_BF16);
    cr_assert_eq(fv_norm_layer_forward(&layer, layer_run_begin(&run, &f32, shape))->dtype, FV_F32);
}
