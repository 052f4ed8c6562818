/* training.safetensors: optimiser steps, whole training runs of mini_vit, schedules, losses, clipping,
 * averages and mixing. */
#include "core/alloc.h"
#include "core/ops.h"
#include "models/model.h"
#include "tests/golden_runner/golden.h"
#include "tests/support/generator.h"
#include "train/ema.h"
#include "train/mixup.h"
#include "train/optimizer.h"
#include "train/schedule.h"

#include <math.h>
#include <string.h>

#define TOLERANCE 1e-4 /* of training cases in float32 */

static double number(const fv_value *map, const char *key, double other) {
    const fv_value *v = fv_value_find(map, key);
    return v ? v->real : other;
}

static fv_optimizer_config optimizer_config(const fv_value *meta) {
    fv_optimizer_config c;
    const fv_value *betas = fv_value_find(meta, "betas");
    const fv_value *nesterov = fv_value_find(meta, "nesterov");

    fv_optimizer_config_init(&c);
    c.name = fv_value_find(meta, "momentum") ? "sgd" : "adamw";
    c.weight_decay = number(meta, "weight_decay", 0.0);
    c.eps = number(meta, "eps", -1.0);
    c.momentum = number(meta, "momentum", -1.0);
    c.nesterov = nesterov && nesterov->integer;
    if (betas) {
        c.beta1 = fv_value_at(betas, 0)->real;
        c.beta2 = fv_value_at(betas, 1)->real;
    }
    return c;
}

/* ---- one vector, five steps with given gradients ---- */

static void check_steps(golden *g, const char *name) {
    const fv_value *meta = golden_meta(g, name);
    const fv_optimizer_config config = optimizer_config(meta);
    fv_params params = {.arena = &g->arena};
    fv_optimizer *optimizer = NULL;
    fv_shape shape;
    const float *w0 = golden_f32(g, golden_text(g, "%s/w0", name), &shape);

    if (!w0) return;
    /* Decay must act on the vector: a second axis of one keeps it out of the no-decay group. */
    const int64_t n = fv_shape_numel(&shape);
    fv_param *w =
        fv_params_add(&params, "w", fv_shape_of(2, n, (int64_t)1), (fv_init){FV_INIT_ZEROS, 0.0f});
    if (fv_params_alloc(&params, (fv_params_alloc_options){.grad = true}) != FV_OK ||
        fv_optimizer_create(&config, &params, &optimizer) != FV_OK) {
        golden_fail(g, name, "%s", fv_error_message());
    } else {
        memcpy(w->value, w0, (size_t)n * sizeof(float));
        for (int t = 1; t <= 5; t++) {
            const float *grad = golden_f32(g, golden_text(g, "%s/g%d", name, t), &shape);
            if (!grad || fv_shape_numel(&shape) != n) break;
            memcpy(w->grad, grad, (size_t)n * sizeof(float));
            fv_optimizer_step(optimizer, number(meta, "lr", 0.0), 1.0f);
            golden_compare(g, golden_text(g, "%s/w%d", name, t), w->value, n, 0, 1e-6);
        }
    }
    fv_optimizer_destroy(optimizer);
    fv_params_destroy(&params);
}

/* ---- ten steps of mini_vit on one batch ---- */

#define BATCH 8
#define SIDE  32
#define STEPS 10

typedef struct training {
    golden *g;
    const char *name;
    const fv_value *meta;
    fv_model *model;
    fv_tape *tape;
    fv_optimizer *optimizer;
    float *images, *initial;
    double loss[STEPS + 1], norm[STEPS];
} training;

static fv_status pass(training *t, double *loss) {
    static const int32_t labels[BATCH] = {3, 7, 1, 5, 0, 9, 2, 8};
    const fv_tensor x = {t->images, FV_F32,
                         fv_shape_of(4, (int64_t)BATCH, (int64_t)SIDE, (int64_t)SIDE, (int64_t)3)};
    const fv_tensor y = {(void *)(uintptr_t)labels, FV_I32, fv_shape_of(1, (int64_t)BATCH)};
    const float smoothing = (float)number(t->meta, "label_smoothing", 0.0);
    float dy[BATCH];

    fv_tape_begin(t->tape, &(fv_step){.mode = FV_TRAIN});
    fv_var *logits = fv_model_forward(t->model, fv_input(t->tape, &x, false));
    fv_var *l = fv_keep(fv_cross_entropy(logits, fv_input(t->tape, &y, false), smoothing));
    FV_TRY(fv_tape_status(t->tape));
    *loss = 0.0;
    for (int i = 0; i < BATCH; i++) {
        *loss += (double)((const float *)l->data)[i] / BATCH;
        dy[i] = 1.0f / BATCH;
    }
    return fv_tape_backward(t->tape, l, dy);
}

static fv_status train(training *t) {
    const fv_value *lrs = fv_value_find(t->meta, "lrs");
    const double clip = number(t->meta, "clip", 0.0);

    for (int step = 0; step < STEPS; step++) {
        FV_TRY(pass(t, &t->loss[step]));
        t->norm[step] = fv_params_grad_norm(&t->model->params);
        const double lr = lrs ? fv_value_at(lrs, step)->real : number(t->meta, "lr", 0.0);
        fv_optimizer_step(t->optimizer, lr, fv_clip_factor(t->norm[step], clip));
    }
    return pass(t, &t->loss[STEPS]);
}

static void compare_doubles(golden *g, const char *name, const double *computed, int64_t count,
                            double scale, double tolerance) {
    int64_t n = 0;
    const double *stored = golden_f64(g, name, &n);
    double worst = 0.0, largest = 0.0;

    if (!stored) return;
    if (n != count) {
        golden_fail(g, name, "%lld values stored, %lld computed", (long long)n, (long long)count);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const double error = fabs(computed[i] - stored[i]);
        if (!(error <= worst)) worst = error;
        largest = fmax(largest, fabs(stored[i]));
    }
    golden_result(g, name, worst / (scale > 0.0 ? scale : largest), tolerance);
}

/* Final values of a parameter; of qkv.bias the keys' third is left out (it has no gradient, and Adam
 * turns its rounding noise into steps). */
static void check_param(training *t, const fv_param *p) {
    const size_t length = strlen(p->name);
    const bool keys = length >= 9 && strcmp(p->name + length - 9, ".qkv.bias") == 0;
    const float *before = t->initial + p->offset;
    double squares = 0.0, moved = 0.0;
    float sample[64];
    int64_t n = 0, count = 0;
    float *kept = fv_arena_alloc(&t->g->arena, (size_t)p->numel, sizeof *kept);

    if (!kept) return;
    for (int64_t i = 0; i < p->numel; i++) {
        if (keys && i >= p->numel / 3 && i < 2 * (p->numel / 3)) continue;
        const double d = (double)p->value[i] - (double)before[i];
        squares += (double)p->value[i] * (double)p->value[i];
        moved += d * d;
        kept[n++] = p->value[i];
    }
    const int64_t step = n / 64 > 1 ? n / 64 : 1;
    for (int64_t i = 0; i < n && count < 64; i += step) sample[count++] = kept[i];
    const float norm = (float)sqrt(squares), delta = (float)sqrt(moved);
    golden *g = t->g;
    golden_compare(g, golden_text(g, "%s/norm.%s", t->name, p->name), &norm, 1, 0, TOLERANCE);
    golden_compare(g, golden_text(g, "%s/delta_norm.%s", t->name, p->name), &delta, 1, 0,
                   TOLERANCE);
    golden_compare(g, golden_text(g, "%s/sample.%s", t->name, p->name), sample, count, 0,
                   TOLERANCE);
}

static fv_status prepare(training *t) {
    const fv_model_config config = {.name = "mini_vit", .num_classes = 10};
    const fv_optimizer_config optimizer = optimizer_config(t->meta);
    const size_t n = (size_t)BATCH * SIDE * SIDE * 3;

    FV_TRY(fv_model_create(&config, true, &t->model));
    FV_TRY(fv_tape_create(&t->tape));
    FV_TRY(fv_optimizer_create(&optimizer, &t->model->params, &t->optimizer));
    fv_generate_params(&t->model->params, "");
    t->images = fv_arena_alloc(&t->g->arena, n, sizeof(float));
    const size_t values = (size_t)t->model->params.slab_numel;
    t->initial = fv_arena_alloc(&t->g->arena, values, sizeof(float));
    if (!t->images || !t->initial) return FV_ERR_NOMEM;
    memcpy(t->initial, t->model->params.value.base, values * sizeof(float));
    fv_generate_images("", "train", BATCH, 3, SIDE, SIDE, t->images);
    return train(t);
}

static void check_training(golden *g, const char *name) {
    training t = {.g = g, .name = name, .meta = golden_meta(g, name)};

    if (prepare(&t) != FV_OK) {
        golden_fail(g, name, "%s", fv_error_message());
    } else {
        compare_doubles(g, golden_text(g, "%s/loss", name), t.loss, STEPS + 1, 1.0, TOLERANCE);
        compare_doubles(g, golden_text(g, "%s/grad_norm", name), t.norm, STEPS, 0, TOLERANCE);
        for (int64_t i = 0; i < t.model->params.count; i++)
            check_param(&t, t.model->params.item[i]);
    }
    fv_optimizer_destroy(t.optimizer);
    fv_tape_destroy(t.tape);
    fv_model_destroy(t.model);
}

/* ---- schedules ---- */

static void check_schedule(golden *g, const char *name) {
    const fv_value *meta = golden_meta(g, name);
    const fv_value *prefix = fv_value_find(meta, "warmup_prefix");
    const fv_schedule s = {.base_lr = number(meta, "base_lr", 0.0),
                           .lr_min = number(meta, "lr_min", 0.0),
                           .warmup_lr_init = number(meta, "warmup_lr_init", 0.0),
                           .cycle_mul = number(meta, "cycle_mul", 1.0),
                           .cycle_decay = number(meta, "cycle_decay", 1.0),
                           .t_initial = (int64_t)number(meta, "t_initial", 1.0),
                           .warmup_t = (int64_t)number(meta, "warmup_t", 0.0),
                           .cycle_limit = (int64_t)number(meta, "cycle_limit", 1.0),
                           .warmup_prefix = prefix && prefix->integer};
    double lr[160];

    for (int t = 0; t < 160; t++) lr[t] = fv_schedule_lr(&s, t);
    compare_doubles(g, name, lr, 160, 1.0, 1e-12);
}

/* ---- losses ---- */

typedef enum loss_kind { LABELS, SOFT, BCE } loss_kind;

static void check_loss(golden *g, fv_tape *tape, const char *name, const fv_tensor *logits,
                       const fv_tensor *target, loss_kind kind, float smoothing) {
    const int64_t B = logits->shape.dim[0], n = fv_shape_numel(&logits->shape);
    float dy[64], mean = 0.0f;
    double sum = 0.0;

    fv_tape_begin(tape, &(fv_step){.mode = FV_TRAIN});
    fv_var *x = fv_input(tape, logits, true), *t = fv_input(tape, target, false);
    fv_var *l = fv_keep(kind == LABELS ? fv_cross_entropy(x, t, smoothing)
                        : kind == SOFT ? fv_soft_cross_entropy(x, t)
                                       : fv_bce(x, t));
    for (int64_t i = 0; i < B && i < 64; i++) dy[i] = 1.0f / (float)B;
    if (B > 64 || fv_tape_status(tape) != FV_OK || fv_tape_backward(tape, l, dy) != FV_OK) {
        golden_fail(g, name, "%s", fv_error_message());
        return;
    }
    for (int64_t i = 0; i < B; i++) sum += (double)((const float *)l->data)[i];
    mean = (float)(sum / (double)B);
    golden_compare(g, name, &mean, 1, 0, 1e-5);
    golden_compare(g, golden_text(g, "%s.grad", name), x->grad.data, n, 0, 1e-5);
}

/* The reference pairs sample i with n - 1 - i. */
static void check_targets(golden *g, const int32_t *labels, int64_t n, int64_t classes) {
    const fv_value *meta = golden_meta(g, "loss");
    const fv_mix mix = {.lam = number(meta, "mixup_lam", 1.0)};
    float *targets = fv_arena_alloc(&g->arena, (size_t)(n * classes), sizeof *targets);

    for (int64_t i = 0; i < n / 2 && targets; i++) {
        const int32_t pair[2] = {labels[i], labels[n - 1 - i]};
        float two[2 * 64];
        fv_mix_targets(&mix, 2, pair, classes, number(meta, "smoothing", 0.1), two);
        memcpy(targets + i * classes, two, (size_t)classes * sizeof *two);
        memcpy(targets + (n - 1 - i) * classes, two + classes, (size_t)classes * sizeof *two);
    }
    golden_compare(g, "loss/mixup_target", targets, n * classes, 0, 1e-6);
}

static void check_losses(golden *g) {
    const fv_value *meta = golden_meta(g, "loss");
    fv_shape shape, labels_shape, soft_shape;
    const float *x = golden_f32(g, "loss/logits", &shape);
    const int64_t *labels = golden_i64(g, "loss/labels", &labels_shape);
    const float *soft = golden_f32(g, "loss/mixup_target", &soft_shape);
    int32_t narrow[64];
    fv_tape *tape = NULL;

    if (!x || !labels || !soft || shape.dim[0] > 64 || fv_tape_create(&tape) != FV_OK) return;
    for (int64_t i = 0; i < shape.dim[0]; i++) narrow[i] = (int32_t)labels[i];
    const fv_tensor logits = {(void *)(uintptr_t)x, FV_F32, shape};
    const fv_tensor hard = {narrow, FV_I32, fv_shape_of(1, shape.dim[0])};
    const fv_tensor mixed = {(void *)(uintptr_t)soft, FV_F32, soft_shape};
    check_loss(g, tape, "loss/ce", &logits, &hard, LABELS, 0.0f);
    check_loss(g, tape, "loss/smooth", &logits, &hard, LABELS,
               (float)number(meta, "smoothing", 0.1));
    check_loss(g, tape, "loss/soft", &logits, &mixed, SOFT, 0.0f);
    check_loss(g, tape, "loss/bce_soft", &logits, &mixed, BCE, 0.0f);
    fv_tape_destroy(tape);
    check_targets(g, narrow, shape.dim[0], shape.dim[1]);
}

/* ---- clipping ---- */

static void check_clip(golden *g, const char *name) {
    const fv_value *meta = golden_meta(g, name);
    fv_params params = {.arena = &g->arena};
    const float *grads[3];
    fv_param *p[3];
    fv_shape shape;

    for (int i = 0; i < 3; i++) {
        grads[i] = golden_f32(g, golden_text(g, "%s/g%d", name, i), &shape);
        if (!grads[i]) return;
        p[i] =
            fv_params_add(&params, golden_text(g, "g%d", i), shape, (fv_init){FV_INIT_ZEROS, 0.0f});
    }
    if (fv_params_alloc(&params, (fv_params_alloc_options){.grad = true}) != FV_OK) {
        golden_fail(g, name, "%s", fv_error_message());
        return;
    }
    for (int i = 0; i < 3; i++) memcpy(p[i]->grad, grads[i], (size_t)p[i]->numel * sizeof(float));
    const double norm = fv_params_grad_norm(&params);
    const float f = (float)norm, factor = fv_clip_factor(norm, number(meta, "max_norm", 0.0));
    golden_compare(g, golden_text(g, "%s/norm", name), &f, 1, 0, 1e-6);
    for (int i = 0; i < 3; i++) {
        for (int64_t j = 0; j < p[i]->numel; j++) p[i]->grad[j] *= factor;
        golden_compare(g, golden_text(g, "%s/clipped%d", name, i), p[i]->grad, p[i]->numel, 0,
                       1e-6);
    }
    fv_params_destroy(&params);
}

/* ---- averages ---- */

static void check_ema(golden *g) {
    const double decay = number(golden_meta(g, "ema"), "decay", 0.0);
    fv_params params = {.arena = &g->arena};
    fv_ema *ema = NULL;
    fv_shape shape;
    const float *w = golden_f32(g, "ema/w0", &shape);

    if (!w) return;
    const fv_param *p = fv_params_add(&params, "w", shape, (fv_init){FV_INIT_ZEROS, 0.0f});
    fv_status status = fv_params_alloc(&params, (fv_params_alloc_options){0});
    if (status == FV_OK) memcpy(p->value, w, (size_t)p->numel * sizeof(float));
    if (status == FV_OK) status = fv_ema_create(&(fv_ema_config){.decay = decay}, &params, &ema);
    if (status != FV_OK) golden_fail(g, "ema", "%s", fv_error_message());
    for (int t = 1; t <= 5 && ema; t++) {
        w = golden_f32(g, golden_text(g, "ema/w%d", t), &shape);
        if (!w || fv_shape_numel(&shape) != p->numel) break;
        memcpy(p->value, w, (size_t)p->numel * sizeof(float));
        fv_ema_average(ema, decay);
        const float *average = fv_param_slab_at(&params, fv_ema_slab(ema), p);
        golden_compare(g, golden_text(g, "ema/ema%d", t), average, p->numel, 0, 1e-6);
    }
    fv_ema_destroy(ema);
    fv_params_destroy(&params);
}

/* ---- mixed images ---- */

/* [n,3,h,w] to [n,h,w,3], or back. */
static void transpose(const float *from, int64_t n, int64_t h, int64_t w, bool back, float *to) {
    for (int64_t i = 0; i < n * 3 * h * w; i++) {
        const int64_t s = i / (3 * h * w), c = i / (h * w) % 3, p = i % (h * w);
        const int64_t j = (s * h * w + p) * 3 + c;
        to[back ? i : j] = from[back ? j : i];
    }
}

static void check_mix(golden *g, const char *name, const fv_mix *mix) {
    fv_shape shape;
    const float *x = golden_f32(g, "mix/x", &shape);

    if (!x) return;
    const int64_t n = shape.dim[0], h = shape.dim[2], w = shape.dim[3], each = 3 * h * w;
    float *images = fv_arena_alloc(&g->arena, (size_t)(n * each), sizeof *images);
    float *mixed = fv_arena_alloc(&g->arena, (size_t)(n * each), sizeof *mixed);
    if (!images || !mixed) return;
    transpose(x, n, h, w, false, images);
    for (int64_t i = 0; i < n / 2; i++)
        fv_mix_pair(mix, h, w, images + i * each, images + (n - 1 - i) * each);
    transpose(images, n, h, w, true, mixed);
    golden_compare(g, name, mixed, n * each, 0, 1e-6);
}

static void check_mixes(golden *g) {
    const fv_value *meta = golden_meta(g, "mix"), *box = fv_value_find(meta, "box");
    int64_t at[4] = {0};

    for (int i = 0; box && i < 4; i++) at[i] = fv_value_at(box, i)->integer;
    const fv_mix mixup = {.lam = number(meta, "mixup_lam", 1.0)};
    const fv_mix cutmix = {.cut = true,
                           .lam = number(meta, "cutmix_lam", 1.0),
                           .top = at[0],
                           .bottom = at[1],
                           .left = at[2],
                           .right = at[3]};
    check_mix(g, "mix/mixup", &mixup);
    check_mix(g, "mix/cutmix", &cutmix);
}

static void run(golden *g) {
    const fv_value *map = fv_safetensors_metadata_map(g->file);

    check_training(g, "adamw");
    check_training(g, "adamw_clip");
    check_training(g, "sgd");
    check_steps(g, "step_adamw");
    check_steps(g, "step_sgd");
    check_steps(g, "step_sgd_plain");
    for (const fv_value *v = map ? map->first : NULL; v; v = v->next)
        if (strncmp(v->key, "schedule/", 9) == 0) check_schedule(g, v->key);
    check_losses(g);
    check_clip(g, "clip");
    check_clip(g, "clip_inactive");
    check_ema(g);
    check_mixes(g);
}

const golden_kind golden_kind_training = {.prefix = "training", .exact = true, .run = run};
