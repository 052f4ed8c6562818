#include "layers/squeeze_excite.h"

#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

enum { B = 3, H = 2, W = 3, C = 5, HIDDEN = 8 };

static layer_run run;
static fv_squeeze_excite layer;

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_squeeze_excite, .init = enter, .fini = leave);

static int64_t hidden_of(int64_t dim) {
    layer_run_close(&run);
    layer_run_open(&run);
    cr_assert_eq(fv_squeeze_excite_init(&layer, layer_run_scope(&run, "se"), dim, 0), FV_OK);
    return layer.fc1.weight->shape.dim[0];
}

/* timm's make_divisible(dim / 16, 8) */
Test(layers_squeeze_excite, rounds_the_hidden_width_to_eights) {
    const int64_t want[][2] = {{16, 8}, {191, 8}, {192, 16}, {256, 16}, {512, 32}, {1536, 96}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        cr_expect_eq(hidden_of(want[i][0]), want[i][1], "of %d", (int)want[i][0]);
    cr_expect_eq(fv_squeeze_excite_init(&layer, layer_run_scope(&run, "no"), 0, 0), FV_ERR_CONFIG);
}

Test(layers_squeeze_excite, declares_timms_names_in_order) {
    static const char *const names[] = {"se.fc1.weight", "se.fc1.bias", "se.fc2.weight",
                                        "se.fc2.bias"};

    cr_assert_eq(hidden_of(C), HIDDEN);
    cr_assert_eq(run.params.count, 4);
    for (int i = 0; i < 4; i++) cr_expect_str_eq(run.params.item[i]->name, names[i]);
}

static double gate_of(const float *x, int b, int c) {
    double mean[C] = {0}, z = (double)layer_run_value(&run, "se.fc2.bias", c);

    for (int i = 0; i < H * W * C; i++) mean[i % C] += (double)x[b * H * W * C + i] / (H * W);
    for (int j = 0; j < HIDDEN; j++) {
        double h = (double)layer_run_value(&run, "se.fc1.bias", j);
        for (int i = 0; i < C; i++)
            h += mean[i] * (double)layer_run_value(&run, "se.fc1.weight", j * C + i);
        if (h > 0.0) z += h * (double)layer_run_value(&run, "se.fc2.weight", c * HIDDEN + j);
    }
    return 1.0 / (1.0 + exp(-z));
}

Test(layers_squeeze_excite, gates_channels_in_every_mode) {
    cr_assert_eq(hidden_of(C), HIDDEN);
    layer_run_ready(&run);
    for (int mode = FV_TRAIN; mode <= FV_EXPLAIN; mode++) {
        fv_var *x = layer_run_begin(&run, &(fv_step){.mode = (fv_mode)mode},
                                    fv_shape_of(4, (int64_t)B, (int64_t)H, (int64_t)W, (int64_t)C));
        fv_var *y = fv_keep(fv_squeeze_excite_forward(&layer, x));
        const float *in = x->data, *out = y->data;
        cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
        for (int i = 0; i < B * H * W * C; i++)
            cr_assert_float_eq((double)out[i], (double)in[i] * gate_of(in, i / (H * W * C), i % C),
                               1e-6);
    }
    cr_expect_str_eq(fv_tape_scope(run.tape, ""), "", "the caller's scope is back");
}

Test(layers_squeeze_excite, keeps_bf16) {
    cr_assert_eq(hidden_of(C), HIDDEN);
    layer_run_ready(&run);
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_TRAIN, .bf16 = true},
                                fv_shape_of(4, (int64_t)B, (int64_t)H, (int64_t)W, (int64_t)C));
    fv_var *y = fv_squeeze_excite_forward(&layer, fv_activation(x, FV_RELU, FV_BF16));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    cr_expect_eq(y->dtype, FV_BF16);
}
