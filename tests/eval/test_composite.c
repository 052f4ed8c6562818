/* Composites: which rule a node gets, what may be asked for, and batches, maps of constants and ledgers of
 * whole models.  Golden files hold the numbers. */
#include "core/alloc.h"
#include "core/ops/op_list.h"
#include "eval/saliency/composite.h"
#include "models/model.h"
#include "tests/support/generator.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { BATCH = 8 };

static fv_model *model;
static fv_tape *tape;
static fv_arena arena;
static float *images;
static int64_t pixels; /* of an image, times 3 */

static void open_model(const char *name) {
    const fv_model_config config = {.name = name, .num_classes = 10};

    cr_assert_eq(fv_model_create(&config, false, &model), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_tape_create(&tape), FV_OK);
    fv_generate_params(&model->params, "");
    for (int64_t i = 0; i < model->params.count; i++) /* statistics: variance 1 */
        if (strstr(model->params.item[i]->name, "running_var"))
            for (int64_t k = 0; k < model->params.item[i]->numel; k++)
                model->params.item[i]->value[k] = 1.0f;
    pixels = model->input.height * model->input.width * 3;
    images = fv_arena_alloc(&arena, (size_t)(BATCH * pixels), sizeof *images);
    cr_assert_not_null(images);
    fv_generate_images("", "input", BATCH, 3, model->input.height, model->input.width, images);
}

static void leave(void) {
    fv_tape_destroy(tape);
    fv_model_destroy(model);
    fv_arena_destroy(&arena);
    tape = NULL;
    model = NULL;
}

TestSuite(eval_composite, .fini = leave);

static fv_composite get(const char *name) {
    const fv_composite *found = fv_composite_find(name);
    float *box = fv_arena_alloc(&arena, 6, sizeof *box);
    fv_composite out;

    cr_assert(found && box, "%s", name);
    fv_composite_options options = fv_composite_defaults(found);
    fv_composite_box((float[]){0.5f, 0.5f, 0.5f}, (float[]){0.5f, 0.25f, 0.5f}, box, box + 3);
    options.low = box;
    options.high = box + 3;
    cr_assert_eq(fv_composite_make(found, &options, &out), FV_OK, "%s", fv_error_message());
    return out;
}

/* Relevance of class 3 for images first .. first + n - 1; the ledger lives in the arena. */
static const float *walk(fv_composite *c, int64_t first, int64_t n, fv_ledger *ledger) {
    const fv_tensor x = {images + first * pixels, FV_F32,
                         fv_shape_of(4, n, model->input.height, model->input.width, (int64_t)3)};
    float start[BATCH * 10] = {0};

    fv_tape_begin(tape, &(fv_step){.mode = FV_EXPLAIN, .samples = n, .chunk_samples = 1});
    fv_var *in = fv_input(tape, &x, true), *logits = fv_keep(fv_model_forward(model, in));
    cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
    for (int64_t b = 0; b < n; b++)
        start[b * 10 + 3] =
            fv_composite_kind(c) == FV_SIGNAL_R ? ((float *)logits->data)[b * 10 + 3] : 1.0f;
    cr_assert_eq(fv_ledger_init(ledger, n, &arena), FV_OK);
    cr_assert_eq(fv_tape_relevance(tape, logits, start, (int)fv_composite_kind(c),
                                   fv_composite_pick, c, ledger),
                 FV_OK, "%s: %s", c->name, fv_error_message());
    return in->relevance.data;
}

static void expect_closed(const fv_ledger *ledger, const float *r, const char *what) {
    for (int64_t b = 0; b < ledger->n_samples; b++) {
        double rest = ledger->start[b], absolute = 0.0;
        for (int64_t i = b * pixels; i < (b + 1) * pixels; i++) {
            rest -= (double)r[i];
            absolute += fabs((double)r[i]);
        }
        for (int s = 0; s < FV_SINK_COUNT; s++) {
            rest -= ledger->sink[s][b];
            absolute += fabs(ledger->sink[s][b]);
        }
        cr_expect_leq(fabs(rest), 1e-5 * absolute, "%s, image %d: %g of %g", what, (int)b, rest,
                      absolute);
        cr_expect_leq(ledger->worst[b].error, 1e-4, "%s, image %d: %g at %s", what, (int)b,
                      ledger->worst[b].error, ledger->worst[b].op);
    }
}

static void every_composite_closes(const char *name) {
    open_model(name);
    for (int i = 0; fv_composite_names[i]; i++) {
        fv_composite c = get(fv_composite_names[i]);
        fv_ledger ledger;
        const float *r = walk(&c, 0, 2, &ledger);
        expect_closed(&ledger, r, c.name);
    }
}

Test(eval_composite, every_composite_closes_on_a_vit) { every_composite_closes("mini_vit"); }
Test(eval_composite, every_composite_closes_on_a_biformer) {
    every_composite_closes("mini_biformer");
}

/* Maps, sinks and the worst op of an image do not depend on its neighbours, to the bit. */
static void batch_equals_singles(const char *name, const char *composite) {
    fv_composite c = get(composite);
    fv_ledger whole, one;

    open_model(name);
    const float *r = walk(&c, 0, BATCH, &whole);
    float *kept = fv_arena_alloc(&arena, (size_t)(BATCH * pixels), sizeof *kept);
    cr_assert_not_null(kept);
    memcpy(kept, r, (size_t)(BATCH * pixels) * sizeof *kept);
    for (int64_t b = 0; b < BATCH; b++) {
        r = walk(&c, b, 1, &one);
        cr_expect_eq(memcmp(r, kept + b * pixels, (size_t)pixels * sizeof *r), 0, "%s, image %d",
                     name, (int)b);
        for (int s = 0; s < FV_SINK_COUNT; s++)
            cr_expect_eq(one.sink[s][0], whole.sink[s][b], "%s", fv_sink_names[s]);
        cr_expect_eq(one.worst[0].error, whole.worst[b].error);
        cr_expect_eq(one.largest[0], whole.largest[b]);
        cr_expect_eq(one.start[0], whole.start[b]);
    }
}

Test(eval_composite, a_batch_equals_its_images_gamma) {
    batch_equals_singles("mini_vit", "attnlrp_gamma");
}
Test(eval_composite, a_batch_equals_its_images_flat) {
    batch_equals_singles("mini_davit", "epsilon_plus_flat");
}

/* What positions and class token take, as maps: their sums are the sinks. */
Test(eval_composite, constants_keep_maps_when_watched) {
    static const char *const composites[] = {"attnlrp", "epsilon"};

    open_model("mini_vit");
    cr_assert_eq(fv_tape_watch(tape, "pos_embed", FV_WATCH_RELEVANCE), FV_OK);
    cr_assert_eq(fv_tape_watch(tape, "cls_token", FV_WATCH_RELEVANCE), FV_OK);
    for (int i = 0; i < 2; i++) {
        fv_composite c = get(composites[i]);
        fv_ledger ledger;
        walk(&c, 0, 3, &ledger);
        const fv_tensor *pos = &fv_tape_find(tape, "pos_embed")->relevance;
        const fv_tensor *cls = &fv_tape_find(tape, "cls_token")->relevance;
        cr_assert(pos->data && cls->data);
        const fv_tensor *maps[] = {pos, cls};
        const fv_sink sinks[] = {FV_SINK_POS_EMBED, FV_SINK_CLS};
        for (int m = 0; m < 2; m++) {
            const int64_t n = maps[m]->shape.dim[1];
            cr_assert_eq(maps[m]->shape.dim[0], 3);
            for (int64_t b = 0; b < 3; b++) {
                double sum = 0.0, absolute = 0.0;
                for (int64_t k = b * n; k < (b + 1) * n; k++) {
                    sum += (double)((float *)maps[m]->data)[k];
                    absolute += fabs((double)((float *)maps[m]->data)[k]);
                }
                cr_expect_gt(absolute, 0.0);
                cr_expect_float_eq(sum, ledger.sink[sinks[m]][b], 1e-6 * absolute);
            }
        }
    }
}

Test(eval_composite, the_largest_relevance_is_at_least_that_of_the_pixels) {
    fv_composite c = get("attnlrp");
    fv_ledger ledger;

    open_model("mini_vit");
    const float *r = walk(&c, 0, 1, &ledger);
    double largest = 0.0;
    for (int64_t i = 0; i < pixels; i++) largest = fmax(largest, fabs((double)r[i]));
    cr_expect_geq(ledger.largest[0], largest);
    cr_expect_geq(ledger.largest[0], fabs(ledger.start[0]));
}

/* ---- types of nodes ---- */

typedef struct counts {
    const fv_composite *composite;
    int kind[FV_AFFINE_COUNT], plain, folded, passed;
    const fv_var *first;
} counts;

static void count(const fv_var *y, void *user, fv_rule *rule) {
    counts *n = user;

    fv_composite_pick(y, (void *)(uintptr_t)n->composite, rule);
    if (rule->is_folded) n->passed++;
    if (y->op != &fv_op_linear && y->op != &fv_op_conv2d) return;
    if (rule->folded) n->folded++;
    if (rule->kind == FV_SIGNAL_R)
        n->kind[rule->affine]++;
    else
        n->plain++;
    n->first = y; /* the last that is met */
}

static counts count_rules(const char *name, const char *composite) {
    counts n = {fv_composite_find(composite), {0}, 0, 0, 0, NULL};
    float start[10] = {1.0f};

    open_model(name);
    const fv_tensor x = {
        images, FV_F32,
        fv_shape_of(4, (int64_t)1, model->input.height, model->input.width, (int64_t)3)};
    fv_tape_begin(tape, &(fv_step){.mode = FV_EXPLAIN, .samples = 1, .chunk_samples = 1});
    fv_var *logits = fv_model_forward(model, fv_input(tape, &x, true));
    cr_assert_eq(fv_tape_relevance(tape, logits, start, FV_SIGNAL_R, count, &n, NULL), FV_OK, "%s",
                 fv_error_message());
    return n;
}

/* Two blocks of qkv, proj, fc1, fc2, and a head; the patch embedding is a convolution and the first. */
Test(eval_composite, a_vit_has_one_convolution) {
    const counts n = count_rules("mini_vit", "epsilon_plus_flat");

    cr_expect_eq(n.kind[FV_AFFINE_FLAT], 1);
    cr_expect_eq(n.kind[FV_AFFINE_EPSILON], 9);
    cr_expect_eq(n.kind[FV_AFFINE_ZPLUS], 0);
    cr_expect_str_eq(n.first->scope, "patch_embed.proj");
}

/* Stem, six blocks and their shortcuts: all are convolutions, those of one pixel too; a batch norm behind a
 * projection of attention is none of theirs. */
Test(eval_composite, pointwise_convolutions_of_halonet_are_convolutions) {
    const counts n = count_rules("mini_halonet_h1", "epsilon_plus_flat");

    cr_expect_eq(n.kind[FV_AFFINE_FLAT], 1);
    cr_expect_eq(n.kind[FV_AFFINE_EPSILON], 1); /* head.fc */
    cr_expect_gt(n.kind[FV_AFFINE_ZPLUS], 20);
    cr_expect_eq(n.folded, n.passed);
    /* of q and kv of the five blocks no batch norm is the reader */
    cr_expect_eq(n.kind[FV_AFFINE_ZPLUS] + n.kind[FV_AFFINE_FLAT] - n.folded, 10);
}

Test(eval_composite, depthwise_convolutions_are_told_apart) {
    const counts n = count_rules("mini_davit", "attnlrp_gamma");

    cr_expect_eq(n.plain % 2, 0); /* two position encodings per block */
    cr_expect_gt(n.plain, 0);
    cr_expect_gt(n.kind[FV_AFFINE_GAMMA], 0);
}

/* ---- options ---- */

Test(eval_composite, options_are_checked) {
    const fv_composite *c = fv_composite_find("attnlrp_gamma");
    fv_composite_options o = fv_composite_defaults(c);
    fv_composite out;

    cr_expect_float_eq(o.gamma_conv, 0.25f, 0.0);
    cr_expect_float_eq(o.gamma_linear, 0.05f, 0.0);
    o.gamma_linear = 1.0f;
    cr_assert_eq(fv_composite_make(c, &o, &out), FV_OK);
    cr_expect_eq(out.linear.gamma, 1.0f);
    cr_expect_eq(out.first.gamma, 0.25f);
    cr_expect_eq(out.depthwise.kind, FV_SIGNAL_GI);
    o.gamma_conv = -0.5f;
    cr_expect_eq(fv_composite_make(c, &o, &out), FV_ERR_CONFIG);
    o = fv_composite_defaults(c);
    o.epsilon = 0.0f;
    cr_expect_eq(fv_composite_make(c, &o, &out), FV_ERR_CONFIG);
    o = fv_composite_defaults(c);
    fv_composite wrong = *c;
    wrong.conv = fv_composite_find("epsilon_plus_flat")->first;
    cr_expect_eq(fv_composite_make(&wrong, &o, &out), FV_ERR_CONFIG);
    cr_expect_null(fv_composite_find("flat"));
}

Test(eval_composite, every_name_is_found) {
    int n = 0;
    for (; fv_composite_names[n]; n++) {
        const fv_composite *c = fv_composite_find(fv_composite_names[n]);
        cr_assert_eq(c, &fv_composites[n], "%s", fv_composite_names[n]);
    }
    cr_expect_eq(n, 13);
}

Test(eval_composite, the_box_is_that_of_normalised_pixels) {
    float low[3], high[3];

    fv_composite_box((float[]){0.5f, 0.25f, 0.0f}, (float[]){0.5f, 0.5f, 2.0f}, low, high);
    cr_expect(low[0] == -1.0f && low[1] == -0.5f && low[2] == 0.0f);
    cr_expect(high[0] == 1.0f && high[1] == 1.5f && high[2] == 0.5f);
}

/* Options change what they name and still close. */
Test(eval_composite, options_close) {
    open_model("mini_vit");
    for (int i = 0; i < 4; i++) {
        fv_composite c = get("epsilon_plus");
        fv_ledger ledger;
        c.base.zero_bias = i == 0;
        c.base.identity_norm = i == 1;
        c.base.constant_attention = i == 2;
        c.base.stabiliser = i == 3 ? FV_STAB_NORM : FV_STAB_ADD;
        if (i == 3) c.base.epsilon = 0.1f;
        const float *r = walk(&c, 0, 1, &ledger);
        expect_closed(&ledger, r, "option");
        cr_expect(i != 1 || ledger.sink[FV_SINK_LN_BETA][0] == 0.0);
        cr_expect(i != 0 || ledger.sink[FV_SINK_BIAS][0] == 0.0);
        cr_expect(i != 2 || ledger.sink[FV_SINK_SOFTMAX][0] == 0.0);
    }
}
