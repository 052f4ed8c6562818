/* convnet.safetensors: values, gradients, and relevance at every node by every composite. */
#include "tests/golden_runner/convnet_model.h"
#include "tests/golden_runner/saliency_case.h"

#include <string.h>

#define TOLERANCE 1e-5
#define SMALL     2e-3 /* epsilon without biases: small denominators */

static const char *const nodes[] = {"logits",   "gap",      "relu4", "relu3",
                                    "add.skip", "add.main", "relu2", "pool1.from_conv2",
                                    "pool1",    "relu1",    "input", NULL};

static const char *const cuts[] = {"logits", "gap",   "relu4", "relu3", "relu2",
                                   "pool1",  "relu1", "input", NULL};

typedef struct lrp_case {
    const char *name, *composite;
    bool zero_bias;
    double tolerance;
} lrp_case;

static const lrp_case lrp_cases[] = {
    {"epsilon", "epsilon", false, TOLERANCE},
    {"epsilon_zero_bias", "epsilon", true, SMALL},
    {"epsilon_plus", "epsilon_plus", false, TOLERANCE},
    {"epsilon_plus_flat", "epsilon_plus_flat", false, TOLERANCE},
    {"epsilon_plus_flat_zero_bias", "epsilon_plus_flat", true, TOLERANCE},
    {"epsilon_alpha2_beta1", "epsilon_alpha2_beta1", false, TOLERANCE},
    {"epsilon_gamma_box", "epsilon_gamma_box", false, TOLERANCE},
    {"epsilon_gamma_wsquare", "epsilon_gamma_wsquare", false, TOLERANCE},
    {"sr_paper_code", "sr_paper_code", false, TOLERANCE},
};

/* The share of the sum that comes through conv3 is that of its output. */
static const fv_var *node(const saliency_model *net, const char *name) {
    return saliency_tap(net->g, net->tape, strcmp(name, "add.main") == 0 ? "conv3" : name);
}

/* Stored tensors called prefix.<node>. */
static void check_nodes(const saliency_model *net, const char *prefix, saliency_what what,
                        double tolerance) {
    static const char *const all[] = {"input", "conv1", "bn1",    "relu1", "pool1", "conv2",
                                      "bn2",   "relu2", "conv3",  "add",   "relu3", "conv4",
                                      "relu4", "gap",   "logits", NULL};
    for (int i = 0; all[i]; i++) {
        const char *name = golden_text(net->g, "%s.%s", prefix, all[i]);
        const fv_var *v = golden_has(net->g, name) ? node(net, all[i]) : NULL;
        if (v) saliency_compare_map(net->g, name, v, what, tolerance);
    }
}

static void check_gradients(const saliency_model *net, fv_var *logits) {
    const float *seed = saliency_seed(net->g, logits, net->target, FV_SIGNAL_GI);

    if (!seed || fv_tape_backward(net->tape, logits, seed) != FV_OK)
        golden_fail(net->g, "grad", "%s", fv_error_message());
    else
        check_nodes(net, "grad", SALIENCY_GRADIENT, TOLERANCE);
}

static bool composite_of(const saliency_model *net, const lrp_case *c, fv_composite *out) {
    const fv_composite *found = fv_composite_find(c->composite);

    if (!found) {
        golden_fail(net->g, c->name, "no such composite");
        return false;
    }
    fv_composite_options options = fv_composite_defaults(found);
    options.zero_bias = c->zero_bias;
    options.low = golden_f32(net->g, "box.low", NULL);
    options.high = golden_f32(net->g, "box.high", NULL);
    if (fv_composite_make(found, &options, out) == FV_OK) return true;
    golden_fail(net->g, c->name, "%s", fv_error_message());
    return false;
}

static void check_sums(const saliency_model *net, const lrp_case *c) {
    const int64_t N = net->N;
    float sums[64];
    int n = 0;

    for (; cuts[n]; n++) {
        const fv_var *v = node(net, cuts[n]);
        const float *r = v ? saliency_of(net->g, v, SALIENCY_RELEVANCE) : NULL;
        if (!r || (n + 1) * N > 64) return;
        saliency_sample_sums(&v->shape, r, 1, sums + n * N);
    }
    golden_compare(net->g, golden_text(net->g, "lrp.%s.layer_sums", c->name), sums, n * N, 0,
                   c->tolerance);
}

static void check_lrp(const saliency_model *net, const lrp_case *c, fv_var *x, fv_var *logits) {
    golden *g = net->g;
    const float *start = saliency_seed(g, logits, net->target, FV_SIGNAL_R);
    fv_composite composite;
    fv_ledger ledger;

    if (!start || !composite_of(net, c, &composite)) return;
    if (!saliency_walk(g, golden_text(g, "lrp.%s", c->name), logits, start, &composite, &ledger))
        return;
    for (int i = 0; nodes[i]; i++) {
        const fv_var *v = node(net, nodes[i]);
        if (v)
            saliency_compare_map(g, golden_text(g, "lrp.%s.%s", c->name, nodes[i]), v,
                                 SALIENCY_RELEVANCE, c->tolerance);
    }
    const float *map = saliency_channel_sums(g, &x->shape, saliency_of(g, x, SALIENCY_RELEVANCE));
    golden_compare(g, golden_text(g, "lrp.%s.heatmap", c->name), map, fv_shape_numel(&x->shape) / 3,
                   0, c->tolerance);
    check_sums(net, c);
}

/* One class against the mean of the others. */
static void check_contrast(const saliency_model *net, fv_var *x, fv_var *logits) {
    golden *g = net->g;
    const float *start = golden_f32(g, "lrp_contrast.R_out", NULL);
    fv_ledger ledger;

    if (start && saliency_walk(g, "lrp_contrast", logits, start,
                               fv_composite_find("epsilon_plus_flat"), &ledger))
        saliency_compare_map(g, "lrp_contrast.epsilon_plus_flat.input", x, SALIENCY_RELEVANCE,
                             TOLERANCE);
}

/* The forward pass of the stored images, which want gradients: *x and the logits, kept. */
static fv_var *record(const saliency_model *net, fv_var **x) {
    const fv_step step = saliency_step(net->N);
    const fv_tensor images = {(void *)(uintptr_t)net->pixels, FV_F32,
                              fv_shape_of(4, net->N, net->H, net->W, (int64_t)3)};

    fv_tape_begin(net->tape, &step);
    *x = fv_input(net->tape, &images, true);
    fv_var *logits = fv_keep(fv_model_forward(net->model, *x));
    if (fv_tape_status(net->tape) == FV_OK) return logits;
    golden_fail(net->g, "forward", "%s", fv_error_message());
    return NULL;
}

void convnet_check_lrp(const saliency_model *net) {
    fv_var *x;

    if (fv_tape_watch(net->tape, "*", FV_WATCH_VALUE | FV_WATCH_GRAD | FV_WATCH_RELEVANCE) != FV_OK)
        return;
    fv_var *logits = record(net, &x);
    if (!logits) return;
    check_nodes(net, "act", SALIENCY_VALUE, TOLERANCE);
    check_gradients(net, logits);
    for (size_t i = 0; i < sizeof lrp_cases / sizeof *lrp_cases; i++)
        check_lrp(net, &lrp_cases[i], x, logits);
    check_contrast(net, x, logits);
    fv_tape_clear_watches(net->tape);
}
