/* Relevance maps and accounts of two reduced models against numbers computed in float64 elsewhere, and
 * the identities that hold for any model. */
#include "core/alloc.h"
#include "core/safetensors.h"
#include "core/tape_internal.h"
#include "eval/saliency/composite.h"
#include "eval/saliency/explain_run.h"
#include "tests/support/generator.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define GOLDEN  FOVEA_SOURCE_DIR "/tests/golden/"
#define COLUMNS 8 /* start, input, bias, ln_beta, bn_shift, pos_embed, cls, softmax */

typedef struct family {
    fv_model *model;
    fv_tape *tape;
    fv_safetensors *file;
    fv_arena arena;
    int64_t n, side; /* images and their side */
    float *images;   /* [n,side,side,3] */
} family;

/* Batch-norm statistics stand in the model's own golden file. */
static void load_buffers(family *f, const char *name) {
    char text[512];
    fv_safetensors *st = NULL;

    snprintf(text, sizeof text, GOLDEN "model_%s.safetensors", name);
    cr_assert_eq(fv_safetensors_open(text, &st), FV_OK, "%s", fv_error_message());
    for (int64_t i = 0; i < f->model->params.count; i++) {
        const fv_param *p = f->model->params.item[i];
        const fv_safetensors_entry *e;
        if (p->trainable || p->flags & FV_PARAM_I64) continue;
        snprintf(text, sizeof text, "buffer.%s", p->name);
        cr_assert_eq(fv_safetensors_need(st, text, &e), FV_OK, "%s", fv_error_message());
        cr_assert_eq(fv_safetensors_read_f32(st, e, p->value), FV_OK, "%s", fv_error_message());
    }
    fv_safetensors_close(st);
}

static void open_family(family *f, const char *name) {
    const fv_model_config config = {.name = name, .num_classes = 10};
    const fv_safetensors_entry *maps;
    char path[512];

    *f = (family){0};
    snprintf(path, sizeof path, GOLDEN "saliency/family_%s.safetensors", name);
    cr_assert_eq(fv_safetensors_open(path, &f->file), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_safetensors_need(f->file, "attnlrp.input", &maps), FV_OK);
    f->n = maps->shape.dim[0];
    f->side = maps->shape.dim[2];
    cr_assert_eq(fv_model_create(&config, false, &f->model), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_tape_create(&f->tape), FV_OK);
    fv_generate_params(&f->model->params, "");
    load_buffers(f, name);
    f->images = fv_alloc((size_t)(f->n * f->side * f->side * 3), sizeof *f->images);
    cr_assert_not_null(f->images);
    fv_generate_images("", "input", f->n, 3, f->side, f->side, f->images);
}

static void close_family(family *f) {
    fv_tape_destroy(f->tape);
    fv_model_destroy(f->model);
    fv_safetensors_close(f->file);
    fv_arena_destroy(&f->arena);
    fv_free(f->images);
}

static const float *golden(family *f, const char *name) {
    fv_tensor t;
    cr_assert_eq(fv_safetensors_load_f32(f->file, name, &f->arena, &t), FV_OK, "%s",
                 fv_error_message());
    return t.data;
}

static void explain(family *f, const char *method, int64_t image, int64_t target,
                    fv_explanation *out) {
    fv_saliency_choice choice;

    cr_assert_eq(fv_saliency_parse(method, &f->arena, &choice), FV_OK, "%s", fv_error_message());
    const fv_explain_request request = {
        .choice = &choice, .target = &target, .against = FV_AGAINST_NOTHING};
    cr_assert_eq(
        fv_explain(f->tape, f->model, f->images + image * f->side * f->side * 3, 1, &request, out),
        FV_OK, "%s: %s", method, fv_error_message());
}

/* max |a - b| / max |b| */
static double distance(const float *a, const float *b, int64_t n) {
    double worst = 0.0, largest = 0.0;

    for (int64_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= worst)) worst = d;
        largest = fmax(largest, fabs((double)b[i]));
    }
    return worst / largest;
}

/* The reference stores [3,H,W]. */
static double relevance_distance(const family *f, const fv_explanation *e, const float *chw) {
    const int64_t pixels = f->side * f->side;
    float *hwc = fv_alloc((size_t)(3 * pixels), sizeof *hwc);

    cr_assert_not_null(hwc);
    for (int64_t i = 0; i < pixels; i++)
        for (int c = 0; c < 3; c++) hwc[3 * i + c] = chw[c * pixels + i];
    const double d = distance(e->relevance, hwc, 3 * pixels);
    fv_free(hwc);
    return d;
}

/* Of the largest value: what the reference itself loses in float32, with a margin. */
typedef struct tolerance {
    double map, cplrp, logits, conservation;
} tolerance;

/* The reference folds batch norms into convolutions, so that only the sum of their shift and of biases
 * can be compared. */
static void check_ledger(const fv_explanation *e, const float *stored, double allowed) {
    const double *s = e->account.sink;
    const double ours[COLUMNS] = {e->account.start,
                                  e->account.input,
                                  s[FV_SINK_BIAS] + s[FV_SINK_BN_SHIFT],
                                  s[FV_SINK_LN_BETA],
                                  0.0,
                                  s[FV_SINK_POS_EMBED],
                                  s[FV_SINK_CLS],
                                  s[FV_SINK_SOFTMAX]};

    for (int i = 0; i < COLUMNS; i++) {
        const double want = i == 2   ? (double)stored[2] + (double)stored[4]
                            : i == 4 ? 0.0
                                     : (double)stored[i];
        cr_expect(fabs(ours[i] - want) <= allowed, "ledger column %d: %.9g, not %.9g", i, ours[i],
                  want);
    }
    cr_expect_eq(s[FV_SINK_EPS], 0.0);
    cr_expect_eq(s[FV_SINK_DROP], 0.0);
}

static void check_family(const char *name, tolerance tol) {
    family f;
    fv_explanation e;

    open_family(&f, name);
    const int64_t pixels = f.side * f.side;
    const float *input = golden(&f, "attnlrp.input"), *cplrp = golden(&f, "cplrp.heatmap");
    const float *ledger = golden(&f, "attnlrp.ledger"), *gxi = golden(&f, "gradxinput");
    const float *logits = golden(&f, "logits");
    int64_t target[8];
    double scale = 0.0;

    cr_assert_leq(f.n, 8);
    cr_assert_eq(fv_safetensors_read_i64(f.file, fv_safetensors_find(f.file, "target"), target),
                 FV_OK);

    for (int64_t i = 0; i < 10 * f.n; i++) scale = fmax(scale, fabs((double)logits[i]));
    for (int64_t i = 0; i < f.n; i++) {
        explain(&f, "lrp", i, -1, &e);
        cr_expect_eq(e.target, target[i]);
        cr_expect_float_eq(e.logit, logits[10 * i + e.target], tol.logits * scale);
        cr_expect_leq(relevance_distance(&f, &e, input + 3 * pixels * i), tol.map);
        check_ledger(&e, ledger + COLUMNS * i, tol.map * scale);
        cr_expect_leq(fv_conservation_error(&e.account), tol.conservation);
        fv_explanation_destroy(&e);

        explain(&f, "lrp:cplrp", i, -1, &e);
        cr_expect_leq(distance(e.map, cplrp + pixels * i, pixels), tol.cplrp);
        cr_expect_eq(e.account.sink[FV_SINK_SOFTMAX], 0.0);
        fv_explanation_destroy(&e);

        explain(&f, "gradient_x_input", i, -1, &e);
        cr_expect_leq(distance(e.map, gxi + pixels * i, pixels), tol.map);
        cr_expect_not(e.has_account);
        fv_explanation_destroy(&e);
    }
    close_family(&f);
}

static const tolerance smooth = {1e-5, 1e-5, 1e-5, 1e-5};

Test(eval_explain, mini_vit_matches) { check_family("mini_vit", smooth); }

Test(eval_explain, mini_deit_distilled_matches) { check_family("mini_deit_distilled", smooth); }

Test(eval_explain, mini_davit_matches) { check_family("mini_davit", smooth); }

Test(eval_explain, mini_davit_even_matches) { check_family("mini_davit_even", smooth); }

Test(eval_explain, mini_biformer_matches) { check_family("mini_biformer", smooth); }

Test(eval_explain, mini_biformer_pad_matches) { check_family("mini_biformer_pad", smooth); }

Test(eval_explain, mini_biformer_stl_matches) { check_family("mini_biformer_stl", smooth); }

/* Rounding flips the sign of some pre-activations of its ReLUs. */
Test(eval_explain, mini_halonet_h1_matches) {
    check_family("mini_halonet_h1", (tolerance){2e-2, 5e-2, 1e-4, 1e-5});
}

/* Ill-conditioned: the reference's own float32 differs by 4e-3. */
Test(eval_explain, mini_halonet_ts_matches) {
    check_family("mini_halonet_ts", (tolerance){2e-2, 2e-2, 5e-4, 1e-5});
}

Test(eval_explain, probability_and_target_belong_together) {
    family f;
    fv_explanation e;
    double sum = 0.0;

    open_family(&f, "mini_vit");
    for (int64_t k = 0; k < 10; k++) {
        explain(&f, "gradient_x_input", 0, k, &e);
        cr_expect_eq(e.target, k);
        sum += (double)e.probability;
        fv_explanation_destroy(&e);
    }
    cr_expect_float_eq(sum, 1.0, 1e-6);
    close_family(&f);
}

/* Another class has another map, and the same question the same bits. */
Test(eval_explain, maps_depend_on_the_class_alone) {
    family f;
    fv_explanation a, b, again;

    open_family(&f, "mini_vit");
    explain(&f, "lrp", 0, 3, &a);
    explain(&f, "lrp", 0, 4, &b);
    explain(&f, "lrp", 0, 3, &again);
    const size_t bytes = (size_t)(f.side * f.side) * sizeof(float);
    cr_expect_neq(memcmp(a.map, b.map, bytes), 0);
    cr_expect_eq(memcmp(a.map, again.map, bytes), 0);
    fv_explanation_destroy(&a);
    fv_explanation_destroy(&b);
    fv_explanation_destroy(&again);
    close_family(&f);
}

/* ---- over every variant of every method ---- */

/* As many samples, masks and steps as a test needs. */
static void make_cheap(fv_saliency_choice *choice) {
    const fv_saliency_param *p = choice->method->params;
    for (int i = 0; p && p[i].name; i++) {
        if (p[i].integer && choice->param[i] > 16.0) choice->param[i] = fmax(p[i].min, 4.0);
        if (strcmp(choice->method->name, "occlusion") == 0) choice->param[i] = 32.0;
    }
}

/* Calls use with each variant of each method, or with the first of each only. */
static void for_every_method(family *f, bool variants,
                             void (*use)(family *f, const fv_saliency_choice *choice)) {
    char text[128];

    for (int i = 0; fv_saliency_at(i); i++) {
        const fv_saliency_method *m = fv_saliency_at(i);
        const char *const none[] = {NULL, NULL};
        const char *const *v = m->variants ? m->variants : none;
        do {
            fv_saliency_choice choice;
            snprintf(text, sizeof text, "%s%s%s", m->name, *v ? ":" : "", *v ? *v : "");
            cr_assert_eq(fv_saliency_parse(text, &f->arena, &choice), FV_OK, "%s",
                         fv_error_message());
            make_cheap(&choice);
            use(f, &choice);
        } while (*v && *++v && variants);
    }
}

static void expect_account(family *f, const fv_saliency_choice *choice) {
    const fv_explain_request request = {.choice = choice, .against = FV_AGAINST_NOTHING};
    fv_explanation e;

    cr_assert_eq(fv_explain(f->tape, f->model, f->images, 1, &request, &e), FV_OK, "%s: %s",
                 choice->text, fv_error_message());
    if (e.has_account)
        cr_expect_leq(fv_conservation_error(&e.account), FV_ACCOUNT_TOLERANCE, "%s", choice->text);
    fv_explanation_destroy(&e);
}

Test(eval_explain, every_variant_of_every_method_adds_up) {
    family f;

    open_family(&f, "mini_deit_distilled");
    for_every_method(&f, true, expect_account);
    close_family(&f);
}

static void expect_same(const fv_explanation *one, const fv_explanation *batch, const char *text) {
    const size_t n = (size_t)(one->height * one->width);

    cr_expect_eq(one->target, batch->target, "%s", text);
    cr_expect_eq(memcmp(one->map, batch->map, n * sizeof *one->map), 0, "%s", text);
    if (one->relevance)
        cr_expect_eq(memcmp(one->relevance, batch->relevance, 3 * n * sizeof *one->map), 0, "%s",
                     text);
    cr_expect_eq(one->account.worst_op, batch->account.worst_op, "%s", text);
    for (int s = 0; s < FV_SINK_COUNT; s++)
        cr_expect_eq(one->account.sink[s], batch->account.sink[s], "%s: %s", text,
                     fv_sink_names[s]);
    for (int i = 0; i < one->n_numbers; i++)
        cr_expect_eq(one->number[i].value, batch->number[i].value, "%s: %s", text,
                     one->number[i].name);
    cr_expect_str_eq(one->warning, batch->warning, "%s", text);
}

static void expect_batch_of_singles(family *f, const fv_saliency_choice *choice) {
    const fv_explain_request request = {
        .choice = choice, .against = FV_AGAINST_OTHERS, .max_images = 3};
    fv_explanation batch[2], one;

    cr_assert_eq(f->n, 2);
    cr_assert_eq(fv_explain(f->tape, f->model, f->images, 2, &request, batch), FV_OK, "%s: %s",
                 choice->text, fv_error_message());
    for (int64_t i = 0; i < 2; i++) {
        cr_assert_eq(
            fv_explain(f->tape, f->model, f->images + i * f->side * f->side * 3, 1, &request, &one),
            FV_OK, "%s: %s", choice->text, fv_error_message());
        expect_same(&one, &batch[i], choice->text);
        fv_explanation_destroy(&one);
        fv_explanation_destroy(&batch[i]);
    }
}

static void check_batches(const char *model, bool variants) {
    family f;

    open_family(&f, model);
    for_every_method(&f, variants, expect_batch_of_singles);
    close_family(&f);
}

Test(eval_explain, a_batch_gives_the_bits_of_its_images_vit) { check_batches("mini_vit", true); }

Test(eval_explain, a_batch_gives_the_bits_of_its_images_davit) {
    check_batches("mini_davit_even", false);
}

Test(eval_explain, a_batch_gives_the_bits_of_its_images_biformer) {
    check_batches("mini_biformer", false);
}

Test(eval_explain, a_batch_gives_the_bits_of_its_images_halonet) {
    check_batches("mini_halonet_h1", false);
}

/* ---- contrasts ---- */

/* The rules are linear in the signal: A against B is A minus B, in the gradient form to rounding. */
/* After a first turn each, methods that alternate on one tape follow their own memory plans. */
Test(eval_explain, methods_in_turn_keep_their_plans) {
    static const char *const methods[] = {"lrp:attnlrp", "gradient", "lrp:epsilon_plus_flat",
                                          "gradcam"};
    family f;

    open_family(&f, "mini_davit");
    for (int turn = 0; turn < 3; turn++) {
        for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
            fv_explanation e = {0};
            explain(&f, methods[m], turn % f.n, 1, &e);
            cr_expect_eq(fv_memplan_replaying(f.tape->plan), turn > 0, "%s, turn %d", methods[m],
                         turn);
            fv_explanation_destroy(&e);
        }
    }
    close_family(&f);
}

Test(eval_explain, a_contrast_is_the_difference_of_its_classes) {
    family f;
    fv_explanation a, b, both;
    fv_saliency_choice choice;

    open_family(&f, "mini_vit");
    const int64_t n = f.side * f.side, target = 3;
    cr_assert_eq(fv_saliency_parse("lrp", &f.arena, &choice), FV_OK);
    const fv_explain_request request = {.choice = &choice, .target = &target, .against = 4};
    explain(&f, "lrp", 0, 3, &a);
    explain(&f, "lrp", 0, 4, &b);
    cr_assert_eq(fv_explain(f.tape, f.model, f.images, 1, &request, &both), FV_OK, "%s",
                 fv_error_message());
    for (int64_t i = 0; i < n; i++) a.map[i] -= b.map[i];
    cr_expect_leq(distance(both.map, a.map, n), 1e-5);
    cr_expect_float_eq(both.score, a.logit - b.logit, 1e-5);
    fv_explanation_destroy(&a);
    fv_explanation_destroy(&b);
    fv_explanation_destroy(&both);
    close_family(&f);
}

Test(eval_explain, class_out_of_range_and_nan_are_refused) {
    const int64_t tenth = 10, third = 3;
    family f;
    fv_explanation e;
    fv_saliency_choice choice;

    open_family(&f, "mini_vit");
    cr_assert_eq(fv_saliency_parse("lrp", &f.arena, &choice), FV_OK);
    fv_explain_request request = {.choice = &choice, .target = &tenth, .against = -1};
    cr_expect_eq(fv_explain(f.tape, f.model, f.images, 1, &request, &e), FV_ERR_CONFIG);
    cr_expect_null(e.map);
    request.target = &third;
    request.against = 10;
    cr_expect_eq(fv_explain(f.tape, f.model, f.images, 1, &request, &e), FV_ERR_CONFIG);
    request.against = third;
    cr_expect_eq(fv_explain(f.tape, f.model, f.images, 1, &request, &e), FV_ERR_CONFIG);
    request.against = FV_AGAINST_NOTHING;
    fv_params_find(&f.model->params, "head.bias")->value[2] = NAN;
    cr_expect_eq(fv_explain(f.tape, f.model, f.images, 1, &request, &e), FV_ERR_NONFINITE);
    close_family(&f);
}

static fv_status overflow(fv_explain_run *run) {
    run->out->map[5] = INFINITY;
    return FV_OK;
}

/* The logits can be finite where what is derived from them is not. */
Test(eval_explain, maps_that_are_not_finite_are_refused) {
    const fv_saliency_method method = {
        .name = "overflow", .kind = FV_SALIENCY_MAP, .run = overflow};
    const fv_saliency_choice choice = {.text = "overflow", .method = &method};
    const fv_explain_request request = {.choice = &choice, .against = FV_AGAINST_NOTHING};
    family f;
    fv_explanation e;

    open_family(&f, "mini_vit");
    cr_expect_eq(fv_explain(f.tape, f.model, f.images, 1, &request, &e), FV_ERR_NONFINITE);
    cr_expect_null(e.map);
    close_family(&f);
}

Test(eval_explain, an_account_without_a_number_is_the_worst) {
    cr_expect(isnan(fv_conservation_error(&(fv_account){.end_to_end = NAN, .worst_op = 1e-7})));
    cr_expect(isnan(fv_conservation_error(&(fv_account){.end_to_end = 1e-7, .worst_op = NAN})));
    cr_expect_eq(fv_conservation_error(&(fv_account){.end_to_end = 2.0, .worst_op = 1.0}), 2.0);
    cr_expect_eq(fv_conservation_error(&(fv_account){.end_to_end = 1.0, .worst_op = 2.0}), 2.0);
}

/* Every allocation on the way may fail: an ordinary error, nothing leaks. */
Test(eval_explain, failing_allocations) {
    fv_saliency_choice choice;
    fv_explanation e;
    family f;

    open_family(&f, "mini_vit");
    cr_assert_eq(fv_saliency_parse("lrp", &f.arena, &choice), FV_OK);
    const fv_explain_request request = {.choice = &choice, .against = FV_AGAINST_NOTHING};
    fv_status status = FV_ERR_NOMEM;
    for (uint64_t n = 1; n < 10000 && status != FV_OK; n++) {
        fv_tape *tape = NULL;
        fv_alloc_fail_at(n);
        status = fv_tape_create(&tape);
        if (status == FV_OK) status = fv_explain(tape, f.model, f.images, 1, &request, &e);
        fv_alloc_fail_at(0);
        cr_expect(status == FV_OK || status == FV_ERR_NOMEM, "%s", fv_error_message());
        if (status == FV_OK) fv_explanation_destroy(&e);
        fv_tape_destroy(tape);
    }
    cr_expect_eq(status, FV_OK);
    close_family(&f);
}
