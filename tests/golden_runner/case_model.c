/* model_*.safetensors: a registered model with generated parameters and images; logits, loss, features,
 * gradients, routing and batch-norm statistics against the stored reference. */
#include "core/alloc.h"
#include "core/ops.h"
#include "core/tape_internal.h"
#include "models/model.h"
#include "tests/golden_runner/golden.h"
#include "tests/support/generator.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What float32 is allowed to lose, by model name: logits (also pre_logits, features, loss, statistics)
 * and gradients.  ReLU networks have the loosest gradients: rounding flips the sign of some
 * pre-activations near zero.  Biases before a batch norm have zero gradient, hence the train mode.
 * bf16: root mean square of what logits lose by it, over their standard deviation; 0: not checked.
 * Random networks with SiLU, or with 50 layers, amplify it too far to tell anything (PyTorch loses 0.26
 * in resnet50, and 0.33 with autocast): what they are made of is compared op by op (tests/core/test_ops.c). */
typedef struct tolerance {
    const char *pattern;
    double logits, gradients, gradients_train, bf16;
} tolerance;

static const tolerance tolerances[] = {
    {"*biformer*", 1e-4, 1e-4, 1e-3, 0.05},    {"*davit*", 1e-4, 1e-3, 1e-3, 0.05},
    {"*halone[tx]*ts", 5e-4, 5e-3, 5e-3, 0.0}, /* SiLU */
    {"*halonet*", 1e-4, 2e-2, 2e-2, 0.25},     /* ReLU */
    {"resnet50", 1e-4, 2e-2, 2e-2, 0.0},       /* ReLU */
    {"resnet*", 1e-4, 2e-2, 2e-2, 0.25},       /* ReLU */
    {"*vit*", 1e-4, 1e-3, 1e-3, 0.05},         {"*deit*", 1e-4, 1e-3, 1e-3, 0.05},
};

#define COUNTER "num_batches_tracked"
#define ROUTING ".routing"

typedef struct model_case {
    golden *g;
    fv_model *model;
    fv_tape *tape;
    const tolerance *tol;
    bool train; /* batch statistics, which the running ones follow; else running ones as stored */
    double gradients; /* tolerance */
    int64_t N, C, H, W;
    const char *salt;
    float *images;
    int32_t *labels;
    fv_var *input, *logits, *loss;
} model_case;

static const char *meta_or(const golden *g, const char *key, const char *other) {
    const char *v = fv_safetensors_metadata(g->file, key);
    return v ? v : other;
}

static const tolerance *tolerance_of(const char *model) {
    for (size_t i = 0; i < sizeof tolerances / sizeof *tolerances; i++)
        if (fnmatch(tolerances[i].pattern, model, 0) == 0) return &tolerances[i];
    return NULL;
}

static bool ends_with(const char *name, const char *tail) {
    const size_t n = strlen(name), m = strlen(tail);
    return n >= m && strcmp(name + n - m, tail) == 0;
}

static bool is_counter(const fv_param *p) { return ends_with(p->name, COUNTER); }

/* Evaluation: running statistics come from the file, every one of them. */
static void load_buffers(model_case *c) {
    for (int64_t i = 0; i < c->model->params.count; i++) {
        const fv_param *p = c->model->params.item[i];
        if (p->trainable || is_counter(p)) continue;
        const char *name = golden_text(c->g, "buffer.%s", p->name);
        fv_shape shape;
        const float *stored = golden_f32(c->g, name, &shape);
        if (!stored) continue;
        if (fv_shape_equal(&shape, &p->shape))
            memcpy(p->value, stored, (size_t)p->numel * sizeof *stored);
        else
            golden_fail(c->g, name, "another shape than the model's");
    }
}

static bool read_case(model_case *c) {
    golden *g = c->g;
    const fv_value *shape = golden_meta(g, "input_shape");
    const char *mode = meta_or(g, "mode", "");
    fv_shape labels;

    c->train = strcmp(mode, "train") == 0;
    c->gradients = c->train ? c->tol->gradients_train : c->tol->gradients;
    if (!c->train && strcmp(mode, "eval") != 0) {
        golden_fail(g, "mode", "'%s' is neither eval nor train", mode);
        return false;
    }

    if (!shape || shape->count != 4) {
        golden_fail(g, "input_shape", "no input shape in the metadata");
        return false;
    }
    c->N = fv_value_at(shape, 0)->integer;
    c->C = fv_value_at(shape, 1)->integer;
    c->H = fv_value_at(shape, 2)->integer;
    c->W = fv_value_at(shape, 3)->integer;
    c->salt = meta_or(g, "salt", "");
    const int64_t *stored = golden_i64(g, "labels", &labels);
    if (!stored || fv_shape_numel(&labels) != c->N) return false;
    c->images = fv_arena_alloc(&g->arena, (size_t)(c->N * c->C * c->H * c->W), sizeof(float));
    c->labels = fv_arena_alloc(&g->arena, (size_t)c->N, sizeof(int32_t));
    if (!c->images || !c->labels) return false;
    for (int64_t i = 0; i < c->N; i++) c->labels[i] = (int32_t)stored[i];
    fv_generate_images(c->salt, "input", c->N, c->C, c->H, c->W, c->images);
    return true;
}

/* Watches everything the file names, runs forward and backward. */
static fv_status compute(model_case *c) {
    const fv_tensor x = {c->images, FV_F32, fv_shape_of(4, c->N, c->H, c->W, c->C)};
    const fv_tensor y = {c->labels, FV_I32, fv_shape_of(1, c->N)};
    float dy[64];

    if (c->N > 64) return FV_FAIL(FV_ERR_UNSUPPORTED, "more than 64 images");
    FV_TRY(fv_tape_watch(c->tape, "*", FV_WATCH_VALUE));
    fv_tape_begin(c->tape, &(fv_step){.mode = FV_TRAIN, .running_stats = !c->train});
    c->input = fv_input(c->tape, &x, true);
    c->logits = fv_keep(fv_model_forward(c->model, c->input));
    c->loss = fv_keep(fv_cross_entropy(c->logits, fv_input(c->tape, &y, false), 0.0f));
    FV_TRY(fv_tape_status(c->tape));
    for (int64_t i = 0; i < c->N; i++) dy[i] = 1.0f / (float)c->N;
    FV_TRY(fv_tape_backward(c->tape, c->loss, dy));
    fv_tape_commit(c->tape);
    return FV_OK;
}

static void compare_var(model_case *c, const char *name, const fv_var *v) {
    if (v)
        golden_compare(c->g, name, v->data, fv_shape_numel(&v->shape), 0, c->tol->logits);
    else
        golden_fail(c->g, name, "the model names no such value");
}

/* Maps are [B,H,W,C] here and [B,C,H,W] in the file; other values have one layout.  *shape is the
 * file's; NULL when memory runs out. */
static const float *in_file_layout(model_case *c, const fv_shape *from, const float *packed,
                                   fv_shape *shape) {
    *shape = *from;
    if (from->rank != 4) return packed;
    const int64_t P = from->dim[1] * from->dim[2], C = from->dim[3], n = fv_shape_numel(from);
    float *planar = fv_arena_alloc(&c->g->arena, (size_t)n, sizeof *planar);
    *shape = fv_shape_of(4, from->dim[0], C, from->dim[1], from->dim[2]);
    for (int64_t i = 0; planar && i < n; i++)
        planar[(i / (P * C) * C + i % C) * P + i / C % P] = packed[i];
    return planar;
}

static void check_feature(model_case *c, int k, const char *name) {
    golden *g = c->g;
    const fv_var *v = fv_tape_find(c->tape, name);
    const char *key = golden_text(g, "feature.%d", k);
    float sample[64];
    double sum = 0.0, squares = 0.0;
    fv_shape shape, stored;

    if (!v) {
        golden_fail(g, key, "the model names no value '%s'", name);
        return;
    }
    const int64_t n = fv_shape_numel(&v->shape), step = n / 64 > 1 ? n / 64 : 1;
    const float *x = in_file_layout(c, &v->shape, v->data, &shape);
    const int64_t *dims = golden_i64(g, golden_text(g, "%s.shape", key), &stored);
    if (!x || !dims) return;
    bool same = fv_shape_numel(&stored) == shape.rank;
    for (int i = 0; same && i < shape.rank; i++) same = dims[i] == shape.dim[i];
    golden_result(g, golden_text(g, "%s.shape", key), same ? 0.0 : 1.0, 0.0);
    for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    const double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const float m = (float)mean, std = (float)sqrt(squares / (double)n);
    int64_t count = 0;
    for (int64_t i = 0; i < n && count < 64; i += step) sample[count++] = x[i];
    const float *stored_std = golden_f32(g, golden_text(g, "%s.std", key), NULL);
    golden_compare(g, golden_text(g, "%s.mean", key), &m, 1,
                   stored_std ? (double)fabsf(*stored_std) : 0, c->tol->logits);
    golden_compare(g, golden_text(g, "%s.std", key), &std, 1, 0, c->tol->logits);
    golden_compare(g, golden_text(g, "%s.sample", key), sample, count, 0, c->tol->logits);
}

/* The largest stored gradient norm: the floor of the error measure is a thousandth of it. */
static double largest_norm(const golden *g) {
    double largest = 0.0;

    for (int64_t i = 0; i < fv_safetensors_count(g->file); i++) {
        const fv_safetensors_entry *e = fv_safetensors_at(g->file, i);
        float v;
        if (strncmp(e->name, "grad_norm.", 10) == 0 && e->numel == 1 &&
            fv_safetensors_read_f32(g->file, e, &v) == FV_OK)
            largest = fmax(largest, (double)v);
    }
    return largest;
}

static void check_gradient(model_case *c, const char *name, const float *grad, int64_t n,
                           double largest) {
    golden *g = c->g;
    double squares = 0.0;
    float sample[8];
    int64_t count = 0;
    const int64_t step = n / 8 > 1 ? n / 8 : 1;

    for (int64_t i = 0; i < n; i++) squares += (double)grad[i] * (double)grad[i];
    const float norm = (float)sqrt(squares);
    const float *stored = golden_f32(g, golden_text(g, "grad_norm.%s", name), NULL);
    if (!stored) return;
    const double scale = fmax((double)*stored, 1e-3 * largest);
    golden_compare(g, golden_text(g, "grad_norm.%s", name), &norm, 1, scale, c->gradients);
    for (int64_t i = 0; i < n && count < 8; i += step) sample[count++] = grad[i];
    golden_compare(g, golden_text(g, "grad_sample.%s", name), sample, count, scale, c->gradients);
}

static void check_input_gradient(model_case *c, double largest) {
    const float *packed = c->input->grad.data;
    fv_shape shape;

    const float *planar = packed ? in_file_layout(c, &c->input->shape, packed, &shape) : NULL;
    if (planar)
        check_gradient(c, "input", planar, fv_shape_numel(&shape), largest);
    else
        golden_fail(c->g, "grad_norm.input", "no input gradient");
}

/* Statistics after one training pass: the model's, every one of them, and its counters. */
static void check_buffers_after(model_case *c) {
    for (int64_t i = 0; i < c->model->params.count; i++) {
        const fv_param *p = c->model->params.item[i];
        const char *name = golden_text(c->g, "buffer_after.%s", p->name);
        if (p->trainable) continue;
        if (!is_counter(p))
            golden_compare(c->g, name, p->value, p->numel, 0, c->tol->logits);
        else if (p->value[0] != 1.0f)
            golden_fail(c->g, name, "counts %g passes, not one", (double)p->value[0]);
    }
}

/* Every value tapped "<module>.routing" against "routing.<module>". */
static void check_routing(model_case *c) {
    for (int64_t i = 0; i < c->tape->n_taps; i++) {
        const fv_tap_entry *tap = &c->tape->taps[i];
        if (!ends_with(tap->name, ROUTING)) continue;
        const int length = (int)(strlen(tap->name) - strlen(ROUTING));
        golden_compare_choices(c->g, golden_text(c->g, "routing.%.*s", length, tap->name),
                               tap->var);
    }
}

static void check(model_case *c) {
    golden *g = c->g;
    const fv_value *features = golden_meta(g, "features");
    const double largest = largest_norm(g);
    const float *losses = c->loss->data;
    double sum = 0.0;
    int k = 0;

    const int64_t counted = fv_params_count(&c->model->params);
    golden_result(g, "parameters",
                  fabs((double)counted - strtod(meta_or(g, "parameters", "-1"), NULL)), 0.0);
    compare_var(c, "logits", c->logits);
    compare_var(c, "pre_logits", fv_tape_find(c->tape, "pre_logits"));
    for (int64_t i = 0; i < c->N; i++) sum += (double)losses[i];
    const float loss = (float)(sum / (double)c->N);
    golden_compare(g, "loss", &loss, 1, 0, c->tol->logits);
    for (const fv_value *f = features ? features->first : NULL; f; f = f->next)
        check_feature(c, k++, f->text);
    if (k == 0) golden_fail(g, "features", "no features in the metadata");
    check_input_gradient(c, largest);
    for (int64_t i = 0; i < c->model->params.count; i++) {
        const fv_param *p = c->model->params.item[i];
        if (p->trainable) check_gradient(c, p->name, p->grad, p->numel, largest);
    }
    if (c->train) check_buffers_after(c);
    check_routing(c);
}

/* Creates the model of the file, with its parameters and statistics. */
static fv_status create(model_case *c, bool bf16) {
    const fv_model_config config = {.name = meta_or(c->g, "model", ""),
                                    .num_classes =
                                        strtoll(meta_or(c->g, "num_classes", "0"), NULL, 10),
                                    .img_size = c->H,
                                    .bf16 = bf16};

    FV_TRY(fv_model_create(&config, !bf16, &c->model));
    FV_TRY(fv_tape_create(&c->tape));
    fv_generate_params(&c->model->params, c->salt);
    if (!c->train) load_buffers(c);
    return FV_OK;
}

static void destroy(model_case *c) {
    fv_tape_destroy(c->tape);
    fv_model_destroy(c->model);
}

static double bf16_error(const float *got, const float *want, int64_t n) {
    double sum = 0.0, spread = 0.0, error = 0.0;

    for (int64_t i = 0; i < n; i++) sum += (double)want[i];
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)want[i] - sum / (double)n, e = (double)got[i] - (double)want[i];
        spread += d * d;
        error += e * e;
    }
    return sqrt(error / spread);
}

/* Rounding sends some queries of a BiFormer to other regions, and then what they find differs: the choices
 * are those of f32. */
static void choose_as_in_f32(fv_var *x, const char *name, void *user) {
    const fv_var *chosen = fv_tape_find(((const model_case *)user)->tape, name);

    if (chosen && chosen->dtype == x->dtype && fv_shape_equal(&chosen->shape, &x->shape))
        memcpy(x->data, chosen->data, (size_t)fv_shape_numel(&x->shape) * sizeof(int32_t));
}

static bool routes(const model_case *c) {
    for (int64_t i = 0; i < c->tape->n_taps; i++)
        if (ends_with(c->tape->taps[i].name, ROUTING)) return true;
    return false;
}

static fv_status forward_bf16(model_case *c, model_case *f32) {
    const fv_tensor x = {c->images, FV_F32, fv_shape_of(4, c->N, c->H, c->W, c->C)};
    const fv_mode mode = c->train ? FV_TRAIN : FV_INFER;
    fv_shape shape;

    FV_TRY(create(c, true));
    fv_params_bf16_refresh(&c->model->params);
    if (routes(f32)) { /* an edit function keeps values that are given up otherwise */
        FV_TRY(fv_tape_watch(c->tape, "*" ROUTING, FV_WATCH_EDIT));
        fv_tape_set_edit(c->tape, choose_as_in_f32, f32);
    }
    fv_tape_begin(c->tape, &(fv_step){.mode = mode, .bf16 = true, .running_stats = !c->train});
    c->logits = fv_keep(fv_model_forward(c->model, fv_input(c->tape, &x, false)));
    FV_TRY(fv_tape_status(c->tape));
    const float *want = golden_f32(c->g, "logits", &shape);
    if (want && fv_shape_equal(&shape, &c->logits->shape))
        golden_result(c->g, "logits in bf16",
                      bf16_error(c->logits->data, want, fv_shape_numel(&shape)), c->tol->bf16);
    else
        golden_fail(c->g, "logits in bf16", "another shape than in the file");
    return FV_OK;
}

static void check_bf16(model_case *f32) {
    model_case c = *f32;

    c.model = NULL;
    c.tape = NULL;
    if (forward_bf16(&c, f32) != FV_OK)
        golden_fail(c.g, "logits in bf16", "%s", fv_error_message());
    destroy(&c);
}

static void run(golden *g) {
    const char *name = meta_or(g, "model", "");
    model_case c = {.g = g};

    c.tol = fv_model_family(name) ? tolerance_of(name) : NULL;
    if (!c.tol) {
        for (int64_t i = 0; i < fv_safetensors_count(g->file); i++) g->used[i] = true;
        golden_skip(g, "all");
        return;
    }
    if (!read_case(&c)) return;
    fv_status status = create(&c, false);
    if (status == FV_OK) status = compute(&c);
    if (status == FV_OK)
        check(&c);
    else
        golden_fail(g, "forward and backward", "%s", fv_error_message());
    if (status == FV_OK && c.tol->bf16 > 0.0) check_bf16(&c);
    destroy(&c);
}

const golden_kind golden_kind_model = {.prefix = "model_", .exact = false, .run = run};
