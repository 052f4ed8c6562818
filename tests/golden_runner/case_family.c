/* saliency/family_<model>.safetensors: the mini models end to end.  Parameters and images come from the
 * generator, batch-norm statistics from ../model_<model>.safetensors. */
#include "models/model.h"
#include "tests/golden_runner/case_saliency_attention.h"
#include "tests/golden_runner/case_saliency_gradients.h"
#include "tests/golden_runner/case_saliency_normgrad.h"
#include "tests/golden_runner/saliency_case.h"
#include "tests/support/generator.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of the largest value, by model: what float32 is allowed to lose. */
typedef struct tolerance {
    const char *pattern;
    double attnlrp, cplrp, gamma, flat;
    double logits; /* of the forward pass, as in the model's own file */
} tolerance;

static const tolerance tolerances[] = {
    {"mini_halonet_h1", 2e-2, 5e-2, 1e-4, 1e-3, 1e-4}, /* rounding flips ReLUs */
    {"mini_halonet_ts", 2e-2, 2e-2, 4e-4, 0.0, 5e-4},  /* ill-conditioned */
    {"*", 1e-5, 1e-5, 5e-5, 3e-3, 1e-4},
};

typedef struct family {
    golden *g;
    const tolerance *tol;
    fv_model *model;
    fv_tape *tape;
    int64_t N, H, W;
    float *images; /* [N,H,W,3] */
    const int64_t *target;
    double scale; /* largest |logit| */
    fv_var *x, *logits;
} family;

static const char *meta(const golden *g, const char *key) {
    const char *v = fv_safetensors_metadata(g->file, key);
    return v ? v : "";
}

/* ---- the model ---- */

static fv_status load_buffers(family *f, const char *name) {
    const char *slash = strrchr(f->g->path, '/');
    const char *path = golden_text(f->g, "%.*s../model_%s.safetensors",
                                   slash ? (int)(slash + 1 - f->g->path) : 0, f->g->path, name);
    fv_safetensors *st = NULL;
    fv_status status = fv_safetensors_open(path, &st);

    for (int64_t i = 0; status == FV_OK && i < f->model->params.count; i++) {
        const fv_param *p = f->model->params.item[i];
        const fv_safetensors_entry *e;
        if (p->trainable || p->flags & FV_PARAM_I64) continue;
        status = fv_safetensors_need(st, golden_text(f->g, "buffer.%s", p->name), &e);
        if (status == FV_OK && e->numel != p->numel)
            status = FV_FAIL(FV_ERR_SHAPE, "%s: another shape than the model's", p->name);
        if (status == FV_OK) status = fv_safetensors_read_f32(st, e, p->value);
    }
    fv_safetensors_close(st);
    return status;
}

static fv_status create(family *f) {
    const char *name = meta(f->g, "model"), *salt = meta(f->g, "salt");
    const fv_value *s = golden_meta(f->g, "input_shape");
    const fv_model_config config = {.name = name,
                                    .num_classes = strtoll(meta(f->g, "num_classes"), NULL, 10)};

    if (!s || s->count != 4) return FV_FAIL(FV_ERR_FORMAT, "no input shape in the metadata");
    f->N = fv_value_at(s, 0)->integer;
    f->H = fv_value_at(s, 2)->integer;
    f->W = fv_value_at(s, 3)->integer;
    f->images = fv_arena_alloc(&f->g->arena, (size_t)(f->N * f->H * f->W * 3), sizeof(float));
    if (!f->images) return FV_ERR_NOMEM;
    FV_TRY(fv_model_create(&config, false, &f->model));
    FV_TRY(fv_tape_create(&f->tape));
    fv_generate_params(&f->model->params, salt);
    fv_generate_images(salt, "input", f->N, 3, f->H, f->W, f->images);
    return load_buffers(f, name);
}

static fv_status record(family *f) {
    const fv_tensor images = {f->images, FV_F32, fv_shape_of(4, f->N, f->H, f->W, (int64_t)3)};
    const fv_step step = saliency_step(f->N);

    FV_TRY(fv_tape_watch(f->tape, "*", FV_WATCH_VALUE | FV_WATCH_RELEVANCE));
    fv_tape_begin(f->tape, &step);
    f->x = fv_tap(fv_input(f->tape, &images, true), "input");
    f->logits = fv_keep(fv_model_forward(f->model, f->x));
    FV_TRY(fv_tape_status(f->tape));
    const float *z = f->logits->data;
    for (int64_t i = 0; i < fv_shape_numel(&f->logits->shape); i++)
        f->scale = fmax(f->scale, fabs((double)z[i]));
    return FV_OK;
}

/* ---- one composite ---- */

/* Stored "<prefix>.map.<node>": sums over channels. */
static void check_maps(family *f, const char *prefix, double tol) {
    const char *head = golden_text(f->g, "%s.map.", prefix);
    const size_t n = strlen(head);

    for (int64_t i = 0; i < fv_safetensors_count(f->g->file); i++) {
        const char *name = fv_safetensors_at(f->g->file, i)->name;
        if (strncmp(name, head, n) != 0) continue;
        const fv_var *v = saliency_tap(f->g, f->tape, name + n);
        const float *r = v ? saliency_of(f->g, v, SALIENCY_RELEVANCE) : NULL;
        if (!r) continue;
        golden_compare(f->g, name, saliency_channel_sums(f->g, &v->shape, r),
                       fv_shape_numel(&v->shape) / fv_shape_last(&v->shape), 0, tol);
    }
}

/* At the complete cuts that the metadata names, [N,cuts]. */
static void check_sums(family *f, const char *prefix, double tol) {
    const fv_value *nodes = golden_meta(f->g, "nodes");
    const int64_t n = nodes ? nodes->count : 0;
    float *sums = fv_arena_calloc(&f->g->arena, (size_t)(f->N * n) + 1, sizeof *sums);
    int64_t i = 0;

    for (const fv_value *node = nodes ? nodes->first : NULL; sums && node; node = node->next, i++) {
        const fv_var *v = saliency_tap(f->g, f->tape, node->text);
        const float *r = v ? saliency_of(f->g, v, SALIENCY_RELEVANCE) : NULL;
        if (r) saliency_sample_sums(&v->shape, r, n, sums + i);
    }
    golden_compare(f->g, golden_text(f->g, "%s.sums", prefix), sums, f->N * n, f->scale, tol);
}

/* start, input, bias + bn_shift, ln_beta, pos_embed, cls, softmax: the file folds batch norms into
 * convolutions where it can, so that only the sum of their shift and of biases can be compared. */
static void check_ledger(family *f, const fv_ledger *ledger, double tol) {
    enum { COLUMNS = 8 };
    golden *g = f->g;
    const float *stored = golden_f32(g, "attnlrp.ledger", NULL);
    const float *r = saliency_of(g, f->x, SALIENCY_RELEVANCE);
    double worst = 0.0, rest = 0.0;

    for (int64_t b = 0; stored && b < f->N; b++) {
        double *const *s = ledger->sink;
        const float *want = stored + b * COLUMNS;
        float input;
        const fv_shape one = {4, {1, f->H, f->W, 3}};
        saliency_sample_sums(&one, r + b * f->H * f->W * 3, 1, &input);
        const double pairs[][2] = {
            {ledger->start[b], (double)want[0]},
            {(double)input, (double)want[1]},
            {s[FV_SINK_BIAS][b] + s[FV_SINK_BN_SHIFT][b], (double)want[2] + (double)want[4]},
            {s[FV_SINK_LN_BETA][b], (double)want[3]},
            {s[FV_SINK_POS_EMBED][b], (double)want[5]},
            {s[FV_SINK_CLS][b], (double)want[6]},
            {s[FV_SINK_SOFTMAX][b], (double)want[7]}};
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            worst = fmax(worst, fabs(pairs[i][0] - pairs[i][1]));
        rest = fmax(rest, fabs(s[FV_SINK_EPS][b]) + fabs(s[FV_SINK_DROP][b]));
    }
    golden_result(g, "attnlrp.ledger", worst / f->scale, tol);
    golden_result(g, "attnlrp.ledger (nothing else)", rest, 0.0);
}

static bool walk(family *f, const char *name, fv_ledger *ledger) {
    const fv_composite *c = fv_composite_find(name);

    if (!c) {
        golden_fail(f->g, name, "no such composite");
        return false;
    }
    const float *seed = saliency_seed(f->g, f->logits, f->target, fv_composite_kind(c));
    return seed && saliency_walk(f->g, name, f->logits, seed, c, ledger);
}

/* The pixels, whole or as a map. */
static void check_input(family *f, const char *name, bool map, double tol) {
    const float *r = saliency_of(f->g, f->x, SALIENCY_RELEVANCE);

    if (map)
        golden_compare(f->g, name, saliency_channel_sums(f->g, &f->x->shape, r), f->N * f->H * f->W,
                       0, tol);
    else
        saliency_compare_map(f->g, name, f->x, SALIENCY_RELEVANCE, tol);
}

/* The angle says more than the largest difference where ReLUs flip. */
static void check_cosine(family *f) {
    fv_shape s;
    const float *stored = golden_f32(f->g, "attnlrp.input", &s);
    const float *ours =
        golden_planar(f->g, &f->x->shape, saliency_of(f->g, f->x, SALIENCY_RELEVANCE));
    double ab = 0.0, aa = 0.0, bb = 0.0;

    for (int64_t i = 0; stored && ours && i < fv_shape_numel(&s); i++) {
        ab += (double)stored[i] * (double)ours[i];
        aa += (double)stored[i] * (double)stored[i];
        bb += (double)ours[i] * (double)ours[i];
    }
    golden_result(f->g, "attnlrp.input (1 - cosine)", 1.0 - ab / sqrt(aa * bb), 1e-4);
}

static void check_gradient_x_input(family *f) {
    const float *seed = saliency_seed(f->g, f->logits, f->target, FV_SIGNAL_GI);
    const int64_t n = fv_shape_numel(&f->x->shape);
    float *product = fv_arena_alloc(&f->g->arena, (size_t)n, sizeof *product);

    if (!seed || !product || fv_tape_backward(f->tape, f->logits, seed) != FV_OK) {
        golden_fail(f->g, "gradxinput", "%s", fv_error_message());
        return;
    }
    const float *dx = saliency_of(f->g, f->x, SALIENCY_GRADIENT);
    for (int64_t i = 0; i < n; i++) product[i] = dx[i] * f->images[i];
    golden_compare(f->g, "gradxinput", saliency_channel_sums(f->g, &f->x->shape, product), n / 3, 0,
                   f->tol->attnlrp);
}

static void check_flat(family *f) {
    fv_ledger ledger;

    if (!golden_has(f->g, "epsilon_plus_flat.input") || !walk(f, "epsilon_plus_flat", &ledger))
        return;
    check_input(f, "epsilon_plus_flat.input", false, f->tol->flat);
    check_maps(f, "epsilon_plus_flat", f->tol->flat);
    check_sums(f, "epsilon_plus_flat", f->tol->flat);
}

static void check(family *f) {
    fv_ledger ledger;

    saliency_compare_map(f->g, "logits", f->logits, SALIENCY_VALUE, f->tol->logits);
    if (walk(f, "attnlrp", &ledger)) {
        check_input(f, "attnlrp.input", false, f->tol->attnlrp);
        if (fnmatch("*halonet*", meta(f->g, "model"), 0) == 0) check_cosine(f);
        check_maps(f, "attnlrp", f->tol->attnlrp);
        check_sums(f, "attnlrp", f->tol->attnlrp);
        check_ledger(f, &ledger, f->tol->attnlrp);
    }
    if (walk(f, "cplrp", &ledger)) check_input(f, "cplrp.heatmap", true, f->tol->cplrp);
    if (walk(f, "attnlrp_gamma", &ledger))
        check_input(f, "attnlrp_gamma.heatmap", true, f->tol->gamma);
    check_flat(f);
    check_gradient_x_input(f);
}

/* The other groups. */
static void run_methods(golden *g) {
    saliency_model m;

    if (saliency_model_open_family(g, &m)) {
        attention_case attention = {.g = g,
                                    .model = m.model,
                                    .tape = m.tape,
                                    .pixels = m.pixels,
                                    .N = m.N,
                                    .target = m.target};
        gradients_family_cases(&m);
        normgrad_family_cases(&m);
        if (golden_has(g, "rollout.mean")) attention_family_cases(&attention);
    }
    saliency_model_close(&m);
}

static void run(golden *g) {
    family f = {.g = g, .tol = tolerances};

    while (fnmatch(f.tol->pattern, meta(g, "model"), 0) != 0) f.tol++;
    fv_status status = create(&f);
    if (status == FV_OK) status = record(&f);
    if (status == FV_OK) f.target = saliency_targets(g, "target", f.N);
    if (status != FV_OK)
        golden_fail(g, "forward", "%s", fv_error_message());
    else if (f.target)
        check(&f);
    fv_tape_destroy(f.tape);
    fv_model_destroy(f.model);
    run_methods(g);
}

const golden_kind golden_kind_family = {.prefix = "family_", .exact = false, .run = run};
