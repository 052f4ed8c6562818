#include "layers/linear.h"

#include "core/parallel.h"
#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

static layer_run run;
static fv_linear_layer layer;

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_linear, .init = enter, .fini = leave);

static void make_sized(int64_t in, int64_t out, bool bias) {
    cr_assert_eq(fv_linear_layer_init(&layer, layer_run_scope(&run, "mlp.fc1"), in, out, bias),
                 FV_OK);
    layer_run_ready(&run);
}

static void make(bool bias) { make_sized(7, 5, bias); }

/* Row r, output o, by the definition. */
static double expect(const fv_var *x, int64_t r, int64_t o, bool bias) {
    const float *row = (const float *)x->data + 7 * r;
    double sum = bias ? (double)layer_run_value(&run, "mlp.fc1.bias", o) : 0.0;
    for (int64_t i = 0; i < 7; i++)
        sum += (double)row[i] * (double)layer_run_value(&run, "mlp.fc1.weight", 7 * o + i);
    return sum;
}

static void check_values(bool bias) {
    make(bias);
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_INFER},
                                fv_shape_of(3, (int64_t)2, (int64_t)3, (int64_t)7));
    fv_var *y = fv_keep(fv_linear_layer_forward(&layer, x));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    cr_assert_eq(y->shape.rank, 3);
    cr_assert_eq(fv_dim(y, -1), 5);
    for (int64_t r = 0; r < 6; r++)
        for (int64_t o = 0; o < 5; o++)
            cr_assert_float_eq((double)((float *)y->data)[5 * r + o], expect(x, r, o, bias), 1e-5);
}

Test(layers_linear, is_the_product) { check_values(true); }
Test(layers_linear, has_no_bias_when_asked) {
    check_values(false);
    cr_assert_eq(run.params.count, 1);
}

Test(layers_linear, output_is_tapped_under_the_path) {
    make(true);
    cr_assert_eq(fv_tape_watch(run.tape, "mlp.*", FV_WATCH_VALUE), FV_OK);
    fv_var *x =
        layer_run_begin(&run, &(fv_step){.mode = FV_TRAIN}, fv_shape_of(2, (int64_t)3, (int64_t)7));
    fv_var *y = fv_linear_layer_forward(&layer, x);
    cr_assert_eq(fv_tape_find(run.tape, "mlp.fc1"), y);
    cr_assert_str_eq(y->scope, "mlp.fc1");
}

Test(layers_linear, bf16_input_gives_bf16_or_f32) {
    fv_bf16 x[2 * 7];
    make(true);
    for (int i = 0; i < 14; i++) x[i] = fv_bf16_from_f32(0.25f * (float)i - 1.0f);
    fv_tape_begin(run.tape, &(fv_step){.mode = FV_INFER, .bf16 = true});
    const fv_tensor t = {x, FV_BF16, fv_shape_of(2, (int64_t)2, (int64_t)7)};
    const fv_var *narrow = fv_linear_layer_forward(&layer, fv_input(run.tape, &t, false));
    const fv_var *wide = fv_linear_layer_forward_f32(&layer, fv_input(run.tape, &t, false));
    cr_assert_eq(narrow->dtype, FV_BF16);
    cr_assert_eq(wide->dtype, FV_F32);
    for (int64_t i = 0; i < 10; i++)
        cr_assert_float_eq(fv_bf16_to_f32(((fv_bf16 *)narrow->data)[i]), ((float *)wide->data)[i],
                           0.02f);
}

Test(layers_linear, a_wrong_width_names_the_layer) {
    make(true);
    fv_var *x =
        layer_run_begin(&run, &(fv_step){.mode = FV_INFER}, fv_shape_of(2, (int64_t)2, (int64_t)6));
    fv_linear_layer_forward(&layer, x);
    cr_assert_eq(fv_tape_status(run.tape), FV_ERR_SHAPE);
    cr_assert_eq(strncmp(fv_error_message(), "mlp.fc1: ", 9), 0, "%s", fv_error_message());
}

Test(layers_linear, fused_gelu_is_the_composed_one) {
    make(true);
    const fv_shape shape = fv_shape_of(3, (int64_t)4, (int64_t)3, (int64_t)7);
    float fused[4 * 3 * 5];
    fv_var *y = fv_keep(fv_linear_layer_forward_gelu(
        &layer, layer_run_begin(&run, &(fv_step){.mode = FV_TRAIN}, shape)));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK);
    memcpy(fused, y->data, sizeof fused);
    y = fv_keep(fv_linear_layer_forward_gelu(
        &layer, layer_run_begin(&run, &(fv_step){.mode = FV_EXPLAIN}, shape)));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK);
    for (int i = 0; i < 60; i++) cr_assert_float_eq(fused[i], ((float *)y->data)[i], 1e-6f);
}

/* ---- chunks of more rows than are summed up at once ---- */

#define LONG 4500 /* rows of a sample; chunks have one or two */

/* Gradients of three samples under a weight of ones on y, for tasks cut for so many threads. */
static const float *long_gradient(int width, int64_t chunk) {
    const int64_t in = fv_shape_last(&fv_params_find(&run.params, "mlp.fc1.weight")->shape);

    fv_parallel_assume(width);
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_TRAIN, .chunk_samples = chunk},
                                fv_shape_of(3, (int64_t)3, (int64_t)LONG, in));
    fv_var *y = fv_linear_layer_forward(&layer, x);
    const int64_t n = fv_shape_numel(&y->shape);
    float *dy = fv_arena_alloc(&run.arena, (size_t)n, sizeof *dy);
    for (int64_t i = 0; i < n; i++) dy[i] = (float)(i % 11) - 5.0f;
    cr_assert_eq(fv_tape_backward(run.tape, y, dy), FV_OK, "%s", fv_error_message());
    fv_parallel_assume(0);
    return dy;
}

static void check_long(int64_t chunk) {
    const size_t n = (size_t)run.params.slab_numel;
    float *one = fv_arena_alloc(&run.arena, n, sizeof *one);
    const fv_param *w = fv_params_find(&run.params, "mlp.fc1.weight");
    const fv_param *b = fv_params_find(&run.params, "mlp.fc1.bias");

    const float *dy = long_gradient(1, chunk);
    memcpy(one, run.params.grad.base, n * sizeof *one);
    long_gradient(64, chunk);
    cr_assert_arr_eq(run.params.grad.base, one, n * sizeof *one, "chunks of %d", (int)chunk);
    const fv_var *x = fv_tape_at(run.tape, 0);
    for (int64_t o = 0; o < 5; o++) {
        double sum[8] = {0}, magnitude[8] = {0};
        for (int64_t r = 0; r < (int64_t)3 * LONG; r++)
            for (int64_t i = 0; i < 8; i++) {
                const double v = i < 7 ? (double)((const float *)x->data)[7 * r + i] : 1.0;
                sum[i] += v * (double)dy[5 * r + o];
                magnitude[i] += fabs(v * (double)dy[5 * r + o]);
            }
        for (int64_t i = 0; i < 8; i++) {
            const float got = i < 7 ? w->grad[7 * o + i] : b->grad[o];
            cr_assert_float_eq((double)got, sum[i], 1e-6 * magnitude[i] + 1e-6);
        }
    }
}

Test(layers_linear, long_chunks_are_summed_in_runs) {
    make(true);
    check_long(1);
    check_long(2);
    check_long(4);
}

/* Four tiles of three sizes. */
Test(layers_linear, tiles_have_the_same_bits_with_and_without_slots) {
    make_sized(400, 130, true);
    const size_t n = (size_t)run.params.slab_numel;
    float *one = fv_arena_alloc(&run.arena, n, sizeof *one);

    long_gradient(1, 1);
    memcpy(one, run.params.grad.base, n * sizeof *one);
    long_gradient(64, 1);
    cr_assert_arr_eq(run.params.grad.base, one, n * sizeof *one);
}
