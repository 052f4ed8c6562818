/* Leaving heads out: the same as taking their columns out of the output projection. */
#include "eval/analysis/head_importance.h"
#include "tests/support/generator.h"
#include "tests/support/model_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#define C 16
#define K 4

static model_run run;

static void enter(void) { model_run_open(&run); }
static void leave(void) { model_run_close(&run); }

TestSuite(eval_head_importance, .init = enter, .fini = leave);

static const char *const mixers[] = {
    "{kind: mhsa}", "{kind: window, window: {size: 3}}", "{kind: halo, halo: {block: 2, halo: 1}}",
    "{kind: bra, bra: {regions: 2, topk: 2, lepe: 0}}", "{kind: channel}"};
#define MIXERS (sizeof mixers / sizeof *mixers)

static const char *const kwargs[] = {
    "{patch_size: 4, embed_dim: 16, num_heads: 2}",
    "{patch_size: 4, embed_dim: 16, num_heads: 2, class_token: false, global_pool: avg}",
    "{patch_size: 4, embed_dim: 16, num_heads: 1}"};

static fv_head_probe probe;

/* A ViT with a grid of 4 x 4, recorded. */
static void record(const char *arguments, const char *mixer) {
    const fv_model_config config = {.name = "mini_vit",
                                    .num_classes = K,
                                    .img_size = 16,
                                    .kwargs = model_run_yaml(&run, "kwargs", arguments),
                                    .attention = model_run_yaml(&run, "attention", mixer)};
    model_run_create(&run, &config);
    fv_generate_params(&run.model->params, "");
    probe = (fv_head_probe){.tape = run.tape,
                            .model = run.model,
                            .max_images = 4,
                            .arena = &run.arena,
                            .mark = fv_arena_get_mark(&run.arena)};
    const fv_tensor x = model_run_pixels(&run, 0, 1);
    probe.mark = fv_arena_get_mark(&run.arena); /* behind the image */
    cr_assert_eq(fv_head_probe_record(&probe, x.data, NULL), FV_OK, "%s", fv_error_message());
}

/* Logits of the image with columns first .. first + n - 1 of the projection of block `layer` at 0. */
static void without_columns(int64_t layer, int64_t first, int64_t n, float *logits) {
    fv_param *p = fv_params_find(&run.model->params,
                                 layer ? "blocks.1.attn.proj.weight" : "blocks.0.attn.proj.weight");
    float kept[C * C];
    const int64_t none = -1, head = 0;

    cr_assert_not_null(p);
    memcpy(kept, p->value, sizeof kept);
    for (int64_t o = 0; o < C; o++)
        for (int64_t i = first; i < first + n; i++) p->value[o * C + i] = 0.0f;
    cr_assert_eq(fv_head_probe_without(&probe, &none, &head, 1, logits, NULL), FV_OK);
    memcpy(p->value, kept, sizeof kept);
}

static void expect_close(const float *a, const float *b, const char *what) {
    for (int k = 0; k < K; k++) cr_expect_float_eq(a[k], b[k], 1e-5, "%s", what);
}

Test(eval_head_importance, a_head_left_out_is_its_columns_at_zero) {
    const int64_t layer[4] = {0, 0, 1, 1}, head[4] = {0, 1, 0, 1};
    float masked[4 * K], columns[K], whole[K];

    for (size_t m = 0; m < MIXERS; m++)
        for (int i = 0; i < 2; i++) {
            record(kwargs[i], mixers[m]);
            memcpy(whole, probe.logits->data, sizeof whole);
            cr_assert_eq(fv_head_probe_without(&probe, layer, head, 4, masked, NULL), FV_OK, "%s",
                         fv_error_message());
            for (int k = 0; k < 4; k++) {
                without_columns(layer[k], head[k] * C / 2, C / 2, columns);
                expect_close(masked + k * K, columns, mixers[m]);
                cr_expect_neq(memcmp(masked + k * K, whole, sizeof whole), 0, "%s", mixers[m]);
            }
        }
}

/* All heads of a block (its only one): the update of the block is the bias of the projection. */
Test(eval_head_importance, all_heads_left_out_are_no_update) {
    const int64_t layer = 1, head = 0;
    float masked[K], columns[K];

    for (size_t m = 0; m < MIXERS; m++) {
        record(kwargs[2], mixers[m]);
        cr_assert_eq(fv_head_probe_without(&probe, &layer, &head, 1, masked, NULL), FV_OK);
        without_columns(1, 0, C, columns);
        expect_close(masked, columns, mixers[m]);
    }
}

/* A batch of masks gives what each gives alone, and nothing left out the network itself. */
Test(eval_head_importance, copies_do_not_touch_each_other) {
    const int64_t layer[3] = {1, -1, 0}, head[3] = {1, 0, 0};
    float together[3 * K], one[K], whole[K];

    for (size_t m = 0; m < MIXERS; m++) {
        record(kwargs[0], mixers[m]);
        memcpy(whole, probe.logits->data, sizeof whole);
        cr_assert_eq(fv_head_probe_without(&probe, layer, head, 3, together, NULL), FV_OK);
        cr_expect_eq(memcmp(together + K, whole, sizeof whole), 0, "%s", mixers[m]);
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(fv_head_probe_without(&probe, layer + i, head + i, 1, one, NULL), FV_OK);
            cr_expect_eq(memcmp(one, together + i * K, sizeof one), 0, "%s", mixers[m]);
        }
    }
}

/* To first order, weights scaled by 1 - t change the loss by t times the estimate; here against the
 * difference that scaling the projection's columns makes. */
Test(eval_head_importance, the_estimate_is_the_slope) {
    const double t = 1e-2;
    fv_head_importance out[4];
    float low[K], high[K];
    bool right;

    for (size_t m = 0; m < MIXERS; m++) {
        record(kwargs[0], mixers[m]);
        cr_assert_eq(fv_head_importance_of(&probe, 2, out, &right), FV_OK);
        fv_param *p = fv_params_find(&run.model->params, "blocks.1.attn.proj.weight");
        const int64_t none = -1, head = 0;
        for (int sign = -1; sign <= 1; sign += 2) {
            float kept[C * C];
            memcpy(kept, p->value, sizeof kept);
            for (int o = 0; o < C; o++)
                for (int i = 0; i < C / 2; i++) p->value[o * C + i] *= 1.0f + (float)(sign * t);
            cr_assert_eq(
                fv_head_probe_without(&probe, &none, &head, 1, sign < 0 ? low : high, NULL), FV_OK);
            memcpy(p->value, kept, sizeof kept);
        }
        double loss[2];
        for (int s = 0; s < 2; s++) {
            const float *z = s ? high : low;
            double sum = 0.0;
            for (int k = 0; k < K; k++) sum += exp((double)z[k]);
            loss[s] = log(sum) - (double)z[2];
        }
        const double slope = fabs(loss[1] - loss[0]) / (2.0 * t);
        cr_expect_float_eq(out[2].number[FV_IMPORTANCE_gradient], slope, 1e-4 + 1e-2 * slope,
                           "%s: %g, not %g", mixers[m], out[2].number[FV_IMPORTANCE_gradient],
                           slope);
    }
}

/* Equal answers have no divergence; the numbers of one head belong together. */
Test(eval_head_importance, numbers_belong_together) {
    fv_head_importance out[4];
    bool right;

    record(kwargs[0], mixers[0]);
    cr_assert_eq(fv_head_importance_of(&probe, 1, out, &right), FV_OK);
    for (int i = 0; i < 4; i++) {
        const double *n = out[i].number;
        cr_expect_geq(n[FV_IMPORTANCE_kl], 0.0);
        cr_expect_geq(n[FV_IMPORTANCE_js], 0.0);
        cr_expect_leq(n[FV_IMPORTANCE_js], log(2.0));
        cr_expect_geq(n[FV_IMPORTANCE_cosine], 0.0);
        cr_expect_eq(n[FV_IMPORTANCE_dprob] > 0.0, n[FV_IMPORTANCE_dloss] > 0.0);
    }
}
