#include "layers/conv_pos.h"

#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

static layer_run run;
static fv_conv_pos layer;

static void enter(void) {
    layer_run_open(&run);
    cr_assert_eq(fv_conv_pos_init(&layer, layer_run_scope(&run, "cpe1"), 3), FV_OK);
    layer_run_ready(&run);
}
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_conv_pos, .init = enter, .fini = leave);

static fv_var *forward(fv_var **x) {
    *x = layer_run_begin(&run, &(fv_step){.mode = FV_TRAIN},
                         fv_shape_of(4, (int64_t)2, (int64_t)4, (int64_t)5, (int64_t)3));
    fv_var *y = fv_keep(fv_conv_pos_forward(&layer, *x));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    return y;
}

/* With all taps t and bias b a pixel gets t times the sum of its neighbourhood, and b. */
Test(layers_conv_pos, adds_what_is_around) {
    fv_param *w = fv_params_find(&run.params, "cpe1.proj.weight");
    fv_param *b = fv_params_find(&run.params, "cpe1.proj.bias");
    fv_var *x;

    for (int i = 0; i < 27; i++) w->value[i] = 0.25f;
    for (int i = 0; i < 3; i++) b->value[i] = 1.0f;
    const float *y = forward(&x)->data, *in = x->data;
    for (int p = 0; p < 20; p++)
        for (int c = 0; c < 3; c++) {
            double sum = 0.0;
            for (int q = 0; q < 20; q++)
                if (abs(p / 5 - q / 5) < 2 && abs(p % 5 - q % 5) < 2) sum += (double)in[q * 3 + c];
            cr_assert_float_eq((double)y[p * 3 + c], (double)in[p * 3 + c] + 0.25 * sum + 1.0,
                               1e-5);
        }
}

Test(layers_conv_pos, without_taps_is_the_identity) {
    fv_var *x;
    memset(fv_params_find(&run.params, "cpe1.proj.weight")->value, 0, 27 * sizeof(float));
    memset(fv_params_find(&run.params, "cpe1.proj.bias")->value, 0, 3 * sizeof(float));
    const fv_var *y = forward(&x);
    cr_assert_eq(memcmp(y->data, x->data, 2 * 60 * sizeof(float)), 0);
}
