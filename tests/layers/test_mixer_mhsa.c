#include "core/yaml.h"
#include "layers/mixer.h"
#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { B = 2, N = 5, C = 8 };

static layer_run run;
static fv_mixer_layer layer;

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_mixer_mhsa, .init = enter, .fini = leave);

static fv_status init(const char *yaml) {
    const fv_mixer_shape shape = {.n_tokens = N,
                                  .n_prefix = 1,
                                  .grid_h = 2,
                                  .grid_w = 2,
                                  .dim = C,
                                  .heads = 2,
                                  .qkv_bias = true,
                                  .proj_bias = true};
    fv_value *cfg = NULL;

    cr_assert_eq(fv_yaml_parse(yaml, strlen(yaml), "", &run.arena, &cfg), FV_OK);
    return fv_mixer_layer_init(&layer, layer_run_scope(&run, "attn"), cfg, &shape);
}

static fv_var *forward(fv_mode mode) {
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = mode},
                                fv_shape_of(3, (int64_t)B, (int64_t)N, (int64_t)C));
    fv_var *y = fv_keep(fv_mixer_layer_forward(&layer, x));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    return y;
}

static double affine(const char *name, const double *x, int o) {
    char key[64];
    snprintf(key, sizeof key, "attn.%s.bias", name);
    double sum = fv_params_find(&run.params, key) ? (double)layer_run_value(&run, key, o) : 0.0;
    snprintf(key, sizeof key, "attn.%s.weight", name);
    for (int i = 0; i < C; i++) sum += x[i] * (double)layer_run_value(&run, key, o * C + i);
    return sum;
}

/* One sample by the definition, in loops. */
static void expect(const float *x, int heads, double scale, double y[N][C]) {
    static double qkv[N][3 * C], mixed[N][C];
    const int d = C / heads;

    for (int n = 0; n < N; n++) {
        double row[C];
        for (int c = 0; c < C; c++) row[c] = (double)x[n * C + c];
        for (int o = 0; o < 3 * C; o++) qkv[n][o] = affine("qkv", row, o);
    }
    for (int a = 0; a < heads; a++)
        for (int i = 0; i < N; i++) {
            double p[N], sum = 0.0;
            for (int j = 0; j < N; j++) {
                double s = 0.0;
                for (int c = a * d; c < (a + 1) * d; c++) s += qkv[i][c] * qkv[j][C + c];
                sum += p[j] = exp(scale * s);
            }
            for (int c = a * d; c < (a + 1) * d; c++) {
                mixed[i][c] = 0.0;
                for (int j = 0; j < N; j++) mixed[i][c] += p[j] / sum * qkv[j][2 * C + c];
            }
        }
    for (int n = 0; n < N; n++)
        for (int c = 0; c < C; c++) y[n][c] = affine("proj", mixed[n], c);
}

static void check(const char *yaml, int heads, double scale) {
    double want[N][C];

    cr_assert_eq(init(yaml), FV_OK, "%s", fv_error_message());
    layer_run_ready(&run);
    for (int mode = FV_TRAIN; mode <= FV_EXPLAIN; mode++) {
        const fv_var *y = forward((fv_mode)mode);
        const float *x = fv_tape_at(run.tape, 0)->data;
        for (int b = 0; b < B; b++) {
            expect(x + b * N * C, heads, scale, want);
            for (int i = 0; i < N * C; i++)
                cr_assert_float_eq((double)((float *)y->data)[b * N * C + i], want[i / C][i % C],
                                   1e-5, "mode %d, element %d", mode, i);
        }
    }
}

Test(layers_mixer_mhsa, follows_the_definition) { check("{}", 2, 0.5); }
Test(layers_mixer_mhsa, takes_heads_of_its_own) { check("heads: 4", 4, 1.0 / sqrt(2.0)); }
Test(layers_mixer_mhsa, takes_a_scale_of_its_own) { check("scale: 0.125", 2, 0.125); }
Test(layers_mixer_mhsa, leaves_biases_out) {
    check("{qkv_bias: false, proj_bias: false}", 2, 0.5);
    cr_assert_eq(run.params.count, 2);
}

Test(layers_mixer_mhsa, attention_matrix_is_tapped_and_its_rows_sum_to_one) {
    char text[FV_SHAPE_TEXT];
    cr_assert_eq(init("{}"), FV_OK);
    layer_run_ready(&run);
    cr_assert_eq(fv_tape_watch(run.tape, "attn.weights", FV_WATCH_VALUE), FV_OK);
    forward(FV_EXPLAIN);
    const fv_var *a = fv_tape_find(run.tape, "attn.weights");
    cr_assert_not_null(a);
    cr_assert_str_eq(fv_shape_text(&a->shape, text), "2x2x5x5");
    for (int r = 0; r < B * 2 * N; r++) {
        float sum = 0.0f;
        for (int j = 0; j < N; j++) sum += ((float *)a->data)[r * N + j];
        cr_assert_float_eq(sum, 1.0f, 1e-6f);
    }
}

Test(layers_mixer_mhsa, permuting_tokens_permutes_the_output) {
    float first[N * C], x[N * C];
    cr_assert_eq(init("{}"), FV_OK);
    layer_run_ready(&run);
    memcpy(first, forward(FV_INFER)->data, sizeof first);
    const float *in = fv_tape_at(run.tape, 0)->data;
    for (int n = 0; n < N; n++) memcpy(x + n * C, in + (n + 2) % N * C, C * sizeof *x);
    fv_tape_begin(run.tape, &(fv_step){.mode = FV_INFER});
    const fv_tensor t = {x, FV_F32, fv_shape_of(3, (int64_t)1, (int64_t)N, (int64_t)C)};
    const fv_var *y = fv_mixer_layer_forward(&layer, fv_input(run.tape, &t, false));
    for (int i = 0; i < N * C; i++)
        cr_assert_float_eq(((float *)y->data)[i], first[(i / C + 2) % N * C + i % C], 1e-6f);
}

Test(layers_mixer_mhsa, heads_must_divide_the_width) {
    cr_assert_eq(init("heads: 3"), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "attention.heads: 3 does not divide the width 8"), "%s",
              fv_error_message());
    cr_assert_eq(init("heads: -1"), FV_ERR_CONFIG);
    cr_assert_eq(init("scale: big"), FV_ERR_CONFIG);
}

Test(layers_mixer_mhsa, parts_of_the_attention_are_tapped) {
    static const char *const names[] = {"queries", "keys", "values", "mixed", "logits", "weights"};
    char text[FV_SHAPE_TEXT], name[64];
    cr_assert_eq(init("{}"), FV_OK);
    layer_run_ready(&run);
    cr_assert_eq(fv_tape_watch(run.tape, "attn.*", FV_WATCH_VALUE), FV_OK);
    forward(FV_EXPLAIN);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "attn.%s", names[i]);
        const fv_var *v = fv_tape_find(run.tape, name);
        cr_assert_not_null(v, "%s", name);
        cr_expect_str_eq(fv_shape_text(&v->shape, text), i < 4 ? "2x2x5x4" : "2x2x5x5");
    }
}
