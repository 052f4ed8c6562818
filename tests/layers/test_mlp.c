#include "layers/mlp.h"

#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>

Test(layers_mlp, is_two_products_around_gelu) {
    enum { C = 3, hidden = 5 };
    layer_run run;
    fv_mlp mlp;
    double h[hidden];

    layer_run_open(&run);
    cr_assert_eq(fv_mlp_init(&mlp, layer_run_scope(&run, "blocks.0.mlp"), C, hidden), FV_OK);
    cr_assert_not_null(fv_params_find(&run.params, "blocks.0.mlp.fc2.bias"));
    layer_run_ready(&run);
    cr_assert_eq(fv_tape_watch(run.tape, "blocks.0.mlp", FV_WATCH_VALUE), FV_OK);
    fv_var *x =
        layer_run_begin(&run, &(fv_step){.mode = FV_INFER}, fv_shape_of(2, (int64_t)1, (int64_t)C));
    const fv_var *y = fv_mlp_forward(&mlp, x);
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_tape_find(run.tape, "blocks.0.mlp"), y);
    for (int j = 0; j < hidden; j++) {
        double z = (double)layer_run_value(&run, "blocks.0.mlp.fc1.bias", j);
        for (int i = 0; i < C; i++)
            z += (double)((float *)x->data)[i] *
                 (double)layer_run_value(&run, "blocks.0.mlp.fc1.weight", C * j + i);
        h[j] = 0.5 * z * (1.0 + erf(z / sqrt(2.0)));
    }
    for (int c = 0; c < C; c++) {
        double z = (double)layer_run_value(&run, "blocks.0.mlp.fc2.bias", c);
        for (int j = 0; j < hidden; j++)
            z += h[j] * (double)layer_run_value(&run, "blocks.0.mlp.fc2.weight", hidden * c + j);
        cr_assert_float_eq((double)((float *)y->data)[c], z, 1e-5);
    }
    layer_run_close(&run);
}
