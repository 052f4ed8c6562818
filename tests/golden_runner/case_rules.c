/* rules.safetensors: single ops, relevance by each rule and the account of it. */
#include "core/ops.h"
#include "tests/golden_runner/saliency_case.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TOLERANCE 1e-5
#define LEDGER    1e-4 /* of sum |R out| */
#define SMALL     1e-3 /* small denominators */
#define ORDER     1e-4 /* of sums, where an output of 0.005 is made of terms of 1 */

typedef struct rule_name {
    const char *name;
    fv_rule rule;
} rule_name;

#define R_FORM .kind = FV_SIGNAL_R, .epsilon = 1e-6f

static const rule_name names[] = {
    {"epsilon_1e-6", {R_FORM}},
    {"epsilon_0.25", {.kind = FV_SIGNAL_R, .epsilon = 0.25f}},
    {"zplus", {R_FORM, .affine = FV_AFFINE_ZPLUS}},
    {"alpha2beta1", {R_FORM, .affine = FV_AFFINE_ALPHA_BETA, .alpha = 2.0f, .beta = 1.0f}},
    {"gamma_0.25", {R_FORM, .affine = FV_AFFINE_GAMMA, .gamma = 0.25f}},
    {"gamma_10", {R_FORM, .affine = FV_AFFINE_GAMMA, .gamma = 10.0f}},
    {"wsquare", {R_FORM, .affine = FV_AFFINE_WSQUARE}},
    {"flat", {R_FORM, .affine = FV_AFFINE_FLAT}},
};

static const fv_rule epsilon = {R_FORM};

static void pick(const fv_var *y, void *rule, fv_rule *out) {
    (void)y;
    *out = *(const fv_rule *)rule;
}

typedef struct rules {
    golden *g;
    fv_tape *tape;
    fv_arena arena;
    fv_params params;
} rules;

static void begin(rules *r, int64_t samples) {
    const fv_step step = saliency_step(samples);
    fv_tape_begin(r->tape, &step);
}

/* A stored tensor as an input, maps as NHWC. */
static fv_var *input(rules *r, const char *name) {
    fv_shape s;
    const float *stored = golden_f32(r->g, name, &s);
    if (!stored) return NULL;
    const float *packed = golden_packed(r->g, &s, stored);
    if (s.rank == 4) s = fv_shape_of(4, s.dim[0], s.dim[2], s.dim[3], s.dim[1]);
    return fv_input(r->tape, &(fv_tensor){(void *)(uintptr_t)packed, FV_F32, s}, true);
}

/* A stored tensor as a constant that an op takes for a parameter. */
static fv_var *constant(rules *r, const char *name) {
    fv_shape s;
    const float *stored = golden_f32(r->g, name, &s);
    if (!stored) return NULL;
    return fv_input(r->tape, &(fv_tensor){(void *)(uintptr_t)stored, FV_F32, s}, false);
}

/* A stored map's relevance at the output. */
static const float *start_of(rules *r, const char *name) {
    fv_shape s;
    const float *stored = golden_f32(r->g, name, &s);
    return stored ? golden_packed(r->g, &s, stored) : NULL;
}

static bool walk(rules *r, const char *what, fv_var *y, const float *start, const fv_rule *rule,
                 fv_ledger *ledger) {
    if (!start) return false;
    return saliency_walk_by(r->g, what, y, start, rule->kind, pick, (void *)(uintptr_t)rule,
                            ledger);
}

/* ---- affine ops ---- */

static fv_var *apply(rules *r, const char *op, fv_var *x) {
    golden *g = r->g;
    const char *hyper = golden_text(g, "%s.hyper_stride_pad_groups", op);
    fv_var *w = constant(r, golden_text(g, "%s.w", op)),
           *b = constant(r, golden_text(g, "%s.b", op));

    if (!x || !w || !b) return NULL;
    if (!golden_has(g, hyper)) return fv_linear(x, w, b);
    const int64_t *h = golden_i64(g, hyper, NULL);
    if (!h) return NULL;
    /* as in vision transformers */
    if (strcmp(op, "conv_patch") == 0) return fv_linear(fv_patchify(x, h[0]), w, b);
    return fv_conv2d(x, w, b, &(fv_conv2d_args){.stride = h[0], .padding = h[1], .groups = h[2]});
}

/* [R out, R in, bias, eps, drop] over the batch. */
static void check_ledger(rules *r, const char *name, const fv_ledger *ledger, const fv_var *x,
                         const float *start, int64_t n_start) {
    const fv_sink sinks[] = {FV_SINK_BIAS, FV_SINK_EPS, FV_SINK_DROP};
    double sums[5] = {0}, scale = 0.0;
    float got[5];

    if (!golden_has(r->g, name)) return;
    for (int64_t i = 0; i < n_start; i++) {
        sums[0] += (double)start[i];
        scale += fabs((double)start[i]);
    }
    const float *rx = saliency_of(r->g, x, SALIENCY_RELEVANCE);
    for (int64_t i = 0; i < fv_shape_numel(&x->shape); i++) sums[1] += (double)rx[i];
    for (int s = 0; s < 3; s++)
        for (int64_t b = 0; b < ledger->n_samples; b++) sums[2 + s] += ledger->sink[sinks[s]][b];
    for (int i = 0; i < 5; i++) got[i] = (float)sums[i];
    golden_compare(r->g, name, got, 5, scale, LEDGER);
    golden_result(r->g, golden_text(r->g, "%s (closes)", name),
                  fabs(sums[0] - sums[1] - sums[2] - sums[3] - sums[4]) / scale, LEDGER);
}

static void check_rule(rules *r, const char *op, const rule_name *of, bool zero_bias, fv_var *x,
                       fv_var *y, const float *start) {
    const char *tail = golden_text(r->g, "%s%s", of->name, zero_bias ? ".zero_bias" : "");
    const char *name = golden_text(r->g, "%s.R_in.%s", op, tail);
    const bool tiny = of->rule.epsilon < 1e-5f, plain = of->rule.affine == FV_AFFINE_EPSILON;
    const double tolerance = !tiny ? TOLERANCE : zero_bias ? SMALL : plain ? ORDER : TOLERANCE;
    fv_rule rule = of->rule;
    fv_ledger ledger;

    rule.zero_bias = zero_bias;
    if (!golden_has(r->g, name) || !walk(r, name, y, start, &rule, &ledger)) return;
    saliency_compare_map(r->g, name, x, SALIENCY_RELEVANCE, tolerance);
    check_ledger(r, golden_text(r->g, "%s.ledger.%s", op, tail), &ledger, x, start,
                 fv_shape_numel(&y->shape));
}

static void check_box(rules *r, const char *op) {
    golden *g = r->g;
    const char *name = golden_text(g, "%s.R_in.zbox", op);
    fv_rule rule = {R_FORM, .affine = FV_AFFINE_BOX};
    fv_ledger ledger;

    if (!golden_has(g, name)) return;
    begin(r, 2);
    fv_var *x = input(r, golden_text(g, "%s.zbox.x", op)), *y = apply(r, op, x);
    rule.low = golden_f32(g, golden_text(g, "%s.zbox.low", op), NULL);
    rule.high = golden_f32(g, golden_text(g, "%s.zbox.high", op), NULL);
    if (y && walk(r, name, y, start_of(r, golden_text(g, "%s.R_out", op)), &rule, &ledger))
        saliency_compare_map(g, name, x, SALIENCY_RELEVANCE, TOLERANCE);
}

static void check_affine(rules *r, const char *op) {
    golden *g = r->g;

    begin(r, 2);
    fv_var *x = input(r, golden_text(g, "%s.x", op)), *y = apply(r, op, x);
    if (!y) return;
    const float *start = start_of(r, golden_text(g, "%s.R_out", op));
    if (strcmp(op, "conv_patch") == 0) { /* rows of patches */
        fv_shape z;
        const float *stored = golden_f32(g, golden_text(g, "%s.z", op), &z);
        const float *packed = stored ? golden_packed(g, &z, stored) : NULL;
        double worst = 0.0, largest = 0.0;
        for (int64_t i = 0; packed && i < fv_shape_numel(&z); i++) {
            worst = fmax(worst, fabs((double)packed[i] - (double)((float *)y->data)[i]));
            largest = fmax(largest, fabs((double)packed[i]));
        }
        golden_result(g, golden_text(g, "%s.z", op), worst / largest, TOLERANCE);
    } else {
        saliency_compare_map(g, golden_text(g, "%s.z", op), y, SALIENCY_VALUE, TOLERANCE);
    }
    for (size_t i = 0; start && i < sizeof names / sizeof *names; i++)
        for (int zero = 0; zero < 2; zero++) check_rule(r, op, &names[i], zero, x, y, start);
    check_box(r, op);
}

/* ---- other ops ---- */

/* One input, one rule, R_in under `name`. */
static void check_one(rules *r, const char *name, fv_var *x, fv_var *y, const char *start,
                      const fv_rule *rule, double tolerance) {
    fv_ledger ledger;
    if (x && y && walk(r, name, y, start_of(r, start), rule, &ledger))
        saliency_compare_map(r->g, name, x, SALIENCY_RELEVANCE, tolerance);
}

static void check_add(rules *r) {
    fv_ledger ledger;

    begin(r, 2);
    fv_var *a = input(r, "add.a"), *b = input(r, "add.b");
    if (!a || !b || !walk(r, "add", fv_add(a, b), start_of(r, "add.R_out"), &epsilon, &ledger))
        return;
    saliency_compare_map(r->g, "add.R_a", a, SALIENCY_RELEVANCE, TOLERANCE);
    saliency_compare_map(r->g, "add.R_b", b, SALIENCY_RELEVANCE, TOLERANCE);
}

static void check_pools(rules *r) {
    begin(r, 2);
    fv_var *x = input(r, "pool.x");
    if (!x) return;
    check_one(r, "maxpool2.R_in", x, fv_max_pool(x, 2, 2, 0), "pool.R_out", &epsilon, TOLERANCE);
    check_one(r, "avgpool2.R_in", x, fv_avg_pool(x, 2, 2), "pool.R_out", &epsilon, TOLERANCE);
    begin(r, 2);
    x = input(r, "maxpool3s2p1.x");
    if (x)
        check_one(r, "maxpool3s2p1.R_in", x, fv_max_pool(x, 3, 2, 1), "pool.R_out", &epsilon,
                  TOLERANCE);
}

static bool load(golden *g, fv_param *p, const char *name) {
    fv_shape s;
    const float *stored = golden_f32(g, name, &s);
    if (!stored || fv_shape_numel(&s) != p->numel) return false;
    memcpy(p->value, stored, (size_t)p->numel * sizeof *stored);
    return true;
}

/* A convolution and a batch norm as one. */
static void check_folding(rules *r) {
    golden *g = r->g;
    const fv_shape C = fv_shape_of(1, (int64_t)4);
    const fv_init zeros = {FV_INIT_ZEROS, 0.0f};
    fv_batchnorm_stats stats = {.eps = 1e-5f, .momentum = 0.1f};
    float w[4 * 27], b[4];

    stats.mean = fv_params_add_buffer(&r->params, "mean", C, zeros);
    stats.var = fv_params_add_buffer(&r->params, "var", C, zeros);
    if (fv_params_alloc(&r->params, (fv_params_alloc_options){0}) != FV_OK ||
        !load(g, stats.mean, "bn.mean") || !load(g, stats.var, "bn.var")) {
        golden_fail(g, "bn", "%s", fv_error_message());
        return;
    }
    begin(r, 2);
    fv_var *x = input(r, "conv.x"), *gamma = constant(r, "bn.gamma"),
           *beta = constant(r, "bn.beta");
    fv_var *weight = constant(r, "bn.w");
    if (!x || !gamma || !beta || !weight) return;
    fv_var *y = fv_conv2d(x, weight, NULL, &(fv_conv2d_args){.padding = 1});
    fv_var *norm = fv_batchnorm(y, gamma, beta, &stats, FV_F32);
    if (fv_tape_status(r->tape) != FV_OK) {
        golden_fail(g, "bn", "%s", fv_error_message());
        return;
    }
    fv_relevance_fold(y, norm, w, b);
    golden_compare(g, "bn.w_folded", w, 4 * 27, 0, TOLERANCE);
    golden_compare(g, "bn.b_folded", b, 4, 0, TOLERANCE);
}

static void check_softmax(rules *r) {
    golden *g = r->g;
    fv_shape s;

    begin(r, 2);
    fv_var *x = input(r, "softmax.logits");
    if (!x) return;
    fv_var *y = fv_softmax(x);
    saliency_compare_map(g, "softmax.p", y, SALIENCY_VALUE, TOLERANCE);
    check_one(r, "softmax.R_in", x, y, "softmax.R_out", &epsilon, TOLERANCE);

    begin(r, 2);
    const float *logits = golden_f32(g, "softmax.logits", NULL);
    const uint8_t *mask = golden_u8(g, "softmax_masked.mask", &s);
    float masked[70];
    if (!logits || !mask || fv_shape_numel(&s) != 70) return;
    for (int i = 0; i < 70; i++) masked[i] = mask[i] ? -INFINITY : logits[i];
    x = fv_input(r->tape, &(fv_tensor){masked, FV_F32, s}, true);
    y = fv_softmax(x);
    saliency_compare_map(g, "softmax_masked.p", y, SALIENCY_VALUE, TOLERANCE);
    check_one(r, "softmax_masked.R_in", x, y, "softmax.R_out", &epsilon, TOLERANCE);
}

static void check_matmul(rules *r) {
    golden *g = r->g;
    fv_ledger ledger;

    begin(r, 2);
    fv_var *a = input(r, "matmul.a"), *b = input(r, "matmul.b");
    if (!a || !b) return;
    fv_var *y = fv_matmul(a, b);
    saliency_compare_map(g, "matmul.o", y, SALIENCY_VALUE, TOLERANCE);
    if (!walk(r, "matmul", y, start_of(r, "matmul.R_out"), &epsilon, &ledger)) return;
    saliency_compare_map(g, "matmul.R_a", a, SALIENCY_RELEVANCE, TOLERANCE);
    saliency_compare_map(g, "matmul.R_b", b, SALIENCY_RELEVANCE, TOLERANCE);
}

static void check_layernorm(rules *r) {
    const fv_rule identity = {R_FORM, .identity_norm = true};

    begin(r, 3);
    fv_var *x = input(r, "layernorm.x"), *w = constant(r, "layernorm.w");
    fv_var *b = constant(r, "layernorm.b");
    if (!x || !w || !b) return;
    fv_var *y = fv_layernorm(x, w, b, 1e-6f, FV_F32);
    saliency_compare_map(r->g, "layernorm.y", y, SALIENCY_VALUE, TOLERANCE);
    check_one(r, "layernorm.R_in.detach_std", x, y, "layernorm.R_out", &epsilon, SMALL);
    check_one(r, "layernorm.R_in.identity", x, y, "layernorm.R_out", &identity, TOLERANCE);
}

/* y / x is what the gradient form multiplies by; it is read off as R / x. */
static void check_gelu(rules *r) {
    const fv_rule gi = {.kind = FV_SIGNAL_GI};
    float ones[40], ratio[40];
    fv_shape s;
    fv_ledger ledger;

    begin(r, 40);
    const float *stored = golden_f32(r->g, "gelu.x", &s);
    if (!stored || fv_shape_numel(&s) != 40) return;
    s = fv_shape_of(2, (int64_t)40, (int64_t)1);
    fv_var *x = fv_input(r->tape, &(fv_tensor){(void *)(uintptr_t)stored, FV_F32, s}, true);
    fv_var *y = fv_gelu(x);
    for (int i = 0; i < 40; i++) ones[i] = 1.0f;
    saliency_compare_map(r->g, "gelu.y", y, SALIENCY_VALUE, TOLERANCE);
    if (!walk(r, "gelu.ratio", y, ones, &gi, &ledger)) return;
    for (int i = 0; i < 40; i++) ratio[i] = ((float *)x->relevance.data)[i] / stored[i];
    golden_compare(r->g, "gelu.ratio", ratio, 40, 0, TOLERANCE);
}

static void check_gate(rules *r) {
    const fv_rule uniform = {R_FORM, .uniform_gate = true};
    fv_ledger ledger;

    begin(r, 2);
    fv_var *a = input(r, "mul.a"), *b = input(r, "mul.b");
    if (!a || !b) return;
    fv_var *y = fv_gate(a, b);
    check_one(r, "mul.R_a.gate_constant", a, y, "mul.R_out", &epsilon, TOLERANCE);
    if (!walk(r, "mul", y, start_of(r, "mul.R_out"), &uniform, &ledger)) return;
    saliency_compare_map(r->g, "mul.R_a.uniform", a, SALIENCY_RELEVANCE, TOLERANCE);
    saliency_compare_map(r->g, "mul.R_b.uniform", b, SALIENCY_RELEVANCE, TOLERANCE);
}

static void run(golden *g) {
    static const char *const affine[] = {"linear", "conv", "conv_s2", "conv_dw", "conv_patch"};
    rules r = {.g = g};

    r.params.arena = &r.arena;
    if (fv_tape_create(&r.tape) != FV_OK) {
        golden_fail(g, "all", "%s", fv_error_message());
        return;
    }
    for (size_t i = 0; i < sizeof affine / sizeof *affine; i++) check_affine(&r, affine[i]);
    check_add(&r);
    check_pools(&r);
    check_folding(&r);
    check_softmax(&r);
    check_matmul(&r);
    check_layernorm(&r);
    check_gelu(&r);
    check_gate(&r);
    fv_tape_destroy(r.tape);
    fv_params_destroy(&r.params);
    fv_arena_destroy(&r.arena);
}

const golden_kind golden_kind_rules = {.prefix = "rules", .exact = true, .run = run};
