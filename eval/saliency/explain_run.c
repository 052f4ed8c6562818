#include "eval/saliency/explain_run.h"

#include "core/alloc.h"
#include "core/ops/op_list.h"
#include "eval/predict.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- passes ---- */

static fv_tensor image_tensor(const fv_explain_run *run, const float *pixels, int64_t n) {
    return (fv_tensor){(void *)(uintptr_t)pixels, FV_F32,
                       fv_shape_of(4, n, run->H, run->W, (int64_t)3)};
}

fv_status fv_explain_record(fv_explain_run *run, const float *pixels, int64_t n) {
    const fv_tensor images = image_tensor(run, pixels, n);

    fv_tape_begin(run->tape, &(fv_step){.mode = FV_EXPLAIN,
                                        .samples = n,
                                        .purpose = fv_rng_name(run->choice->text),
                                        .chunk_samples = 1});
    run->x = fv_input(run->tape, &images, true);
    run->logits = fv_keep(fv_model_forward(run->model, run->x));
    return fv_tape_status(run->tape);
}

fv_status fv_explain_backward(fv_explain_run *run, const float *weight) {
    return fv_tape_backward(run->tape, run->logits, weight);
}

fv_status fv_explain_logits(fv_explain_run *run, const float *pixels, int64_t n, float *logits) {
    const int64_t image = run->H * run->W * 3;

    for (int64_t first = 0; first < n; first += run->max_images) {
        const int64_t some = n - first < run->max_images ? n - first : run->max_images;
        const fv_tensor images = image_tensor(run, pixels + first * image, some);
        fv_tape_begin(run->tape, &(fv_step){.mode = FV_INFER, .samples = some, .chunk_samples = 1});
        fv_var *x = fv_input(run->tape, &images, false);
        const fv_var *y = fv_keep(fv_model_forward(run->model, x));
        FV_TRY(fv_tape_status(run->tape));
        memcpy(logits + first * run->K, y->data, (size_t)(some * run->K) * sizeof *logits);
    }
    return FV_OK;
}

double fv_explain_score(const fv_explain_run *run, int64_t b, const float *logits) {
    double score = 0.0;

    for (int64_t k = 0; k < run->K; k++)
        score += (double)run->weight[b * run->K + k] * (double)logits[k];
    return score;
}

double fv_explain_probability(const fv_explain_run *run, int64_t b, const float *logits) {
    return fv_class_probability(logits, run->K, run->target[b]);
}

/* ---- layers ---- */

fv_status fv_explain_watch_layers(fv_explain_run *run, uint32_t what) {
    for (int i = 0; i < run->n_layers; i++) FV_TRY(fv_tape_watch(run->tape, run->layers[i], what));
    return FV_OK;
}

static fv_status no_node(const fv_explain_run *run, const char *name, const char *why) {
    const fv_model *m = run->model;
    const char *last = m->n_features ? m->feature_names[m->n_features - 1] : "";
    return FV_FAIL(FV_ERR_CONFIG, "layer '%.80s': %s (%s has %s ... %s)", name, why, m->name,
                   m->n_features ? m->feature_names[0] : "none", last);
}

/* Attention matrices and tokens in windows have as many axes as maps. */
static bool is_map(const fv_var *v) {
    if (v->op == &fv_op_softmax) return false;
    for (; v && v->op != &fv_op_window_merge && v->op != &fv_op_conv2d; v = v->in[0])
        if (v->op == &fv_op_window_partition) return false;
    return true;
}

fv_status fv_explain_node(const fv_explain_run *run, const char *name, fv_node *out) {
    const fv_var *v = fv_tape_find(run->tape, name);
    const fv_model *m = run->model;

    if (!v) return no_node(run, name, "the model has no such activation");
    const fv_shape *s = &v->shape;
    *out = (fv_node){.B = s->dim[0], .C = fv_shape_last(s), .var = v};
    if (s->rank == 4 && is_map(v)) {
        out->h = s->dim[1];
        out->w = s->dim[2];
    } else if (s->rank == 3) {
        const int64_t skip = s->dim[1] - m->grid_h * m->grid_w;
        out->h = skip == 0 || skip == m->prefix_tokens ? m->grid_h : 0;
        out->w = m->grid_w;
        out->skip = skip;
    }
    out->rows = out->skip + out->h * out->w;
    if (v->dtype != FV_F32 || out->h < 1 || out->w < 1)
        return no_node(run, name, "that is no map of activations");
    if (v->watch & FV_WATCH_VALUE) out->value = v->data;
    if (v->watch & FV_WATCH_GRAD) out->grad = v->grad.data;
    return FV_OK;
}

static fv_status add_layer(fv_explain_run *run, const char *name) {
    if (run->n_layers == FV_EXPLAIN_MAX_LAYERS)
        return FV_FAIL(FV_ERR_CONFIG, "more than %d layers", FV_EXPLAIN_MAX_LAYERS);
    run->layers[run->n_layers++] = name;
    return FV_OK;
}

/* The features whose name begins with prefix; all behind the first where none does. */
static fv_status add_features(fv_explain_run *run, const char *prefix) {
    const fv_model *m = run->model;
    const int before = run->n_layers;

    for (int i = 0; i < m->n_features; i++)
        if (strncmp(m->feature_names[i], prefix, strlen(prefix)) == 0)
            FV_TRY(add_layer(run, m->feature_names[i]));
    for (int i = 1; run->n_layers == before && i < m->n_features; i++)
        FV_TRY(add_layer(run, m->feature_names[i]));
    return FV_OK;
}

/* The place of a feature that stands for itself or, with a suffix, for a layer in it; n or more: none.
 * The first feature is what the stem gives. */
static int last(int n) { return n - 1; }
static int before_last(int n) { return n > 1 ? n - 2 : n - 1; }
static int first_stage(int n) { return n > 1; }
static int early(int n) { return 1 + (n - 1) / 4; }

static const struct {
    const char *name;
    int (*place)(int n_features);
    const char *suffix;
} relative[] = {{"@last", last, ""},
                {"@before_last", before_last, ""},
                {"@first_stage", first_stage, ""},
                {"@early_norm1", early, ".norm1"}};

static fv_status add_named(fv_explain_run *run, const char *name) {
    const fv_model *m = run->model;

    if (strcmp(name, "@stages") == 0) return add_features(run, "stages.");
    if (strcmp(name, "@blocks") == 0) return add_features(run, "blocks.");
    if (strcmp(name, "@first_conv") == 0) return add_layer(run, m->first_conv);
    for (size_t i = 0; i < sizeof relative / sizeof *relative; i++) {
        const int place = relative[i].place(m->n_features);
        if (strcmp(name, relative[i].name) != 0 || place >= m->n_features) continue;
        name = fv_arena_printf(run->arena, "%s%s", m->feature_names[place], relative[i].suffix);
        return name ? add_layer(run, name) : FV_ERR_NOMEM;
    }
    return add_layer(run, name);
}

fv_status fv_explain_resolve_layers(fv_explain_run *run, const char *text) {
    char *copy = fv_arena_strdup(run->arena, text), *rest = NULL;

    if (!copy) return FV_ERR_NOMEM;
    run->n_layers = 0;
    for (char *name = strtok_r(copy, "+", &rest); name; name = strtok_r(NULL, "+", &rest))
        FV_TRY(add_named(run, name));
    return run->n_layers ? FV_OK : FV_FAIL(FV_ERR_CONFIG, "no layer in '%.80s'", text);
}

/* ---- results ---- */

float *fv_explanation_grid(fv_explanation *e, int64_t h, int64_t w) {
    fv_free(e->grid);
    e->grid = fv_calloc((size_t)(h * w), sizeof *e->grid);
    e->grid_h = e->grid ? h : 0;
    e->grid_w = e->grid ? w : 0;
    return e->grid;
}

void fv_explanation_number(fv_explanation *e, const char *name, double value) {
    if (e->n_numbers == FV_EXPLANATION_NUMBERS) return;
    e->number[e->n_numbers].name = name;
    e->number[e->n_numbers++].value = value;
}

void fv_explanation_warn(fv_explanation *e, const char *format, ...) {
    va_list args;

    if (e->warning[0]) return;
    va_start(args, format);
    vsnprintf(e->warning, sizeof e->warning, format, args);
    va_end(args);
}
