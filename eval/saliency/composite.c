#include "eval/saliency/composite.h"

#include "core/ops/op_list.h"

#include <string.h>

#define EPS 1e-6f

/* Rules of affine ops. */
#define PLAIN \
    { .kind = FV_SIGNAL_GI }
#define EPSILON \
    { FV_SIGNAL_R, FV_AFFINE_EPSILON, 0.0f }
#define ZPLUS \
    { FV_SIGNAL_R, FV_AFFINE_ZPLUS, 0.0f }
#define A2B1 \
    { FV_SIGNAL_R, FV_AFFINE_ALPHA_BETA, 0.0f }
#define FLAT \
    { FV_SIGNAL_R, FV_AFFINE_FLAT, 0.0f }
#define BOX \
    { FV_SIGNAL_R, FV_AFFINE_BOX, 0.0f }
#define WSQUARE \
    { FV_SIGNAL_R, FV_AFFINE_WSQUARE, 0.0f }
#define POSITIVE \
    { FV_SIGNAL_R, FV_AFFINE_POSITIVE, 0.0f }
#define GAMMA(g) \
    { FV_SIGNAL_R, FV_AFFINE_GAMMA, g }

/* Rules of everything else. */
#define BASE_GI \
    { .kind = FV_SIGNAL_GI, .epsilon = EPS, .alpha = 2.0f, .beta = 1.0f }
#define BASE_CONSTANT \
    { .kind = FV_SIGNAL_GI, .epsilon = EPS, .constant_attention = true }
#define BASE_R \
    { .kind = FV_SIGNAL_R, .epsilon = EPS, .alpha = 2.0f, .beta = 1.0f }

const fv_composite fv_composites[] = {
    {.name = "attnlrp",
     .summary = "gates and norms constant, half of a product to each factor, as modified gradient",
     .base = BASE_GI,
     .first = PLAIN,
     .conv = PLAIN,
     .depthwise = PLAIN,
     .linear = PLAIN},
    {.name = "attnlrp_gamma",
     .summary = "attnlrp with gamma rules: convolutions 0.25, linear layers 0.05",
     .base = BASE_GI,
     .first = GAMMA(0.25f),
     .conv = GAMMA(0.25f),
     .depthwise = PLAIN,
     .linear = GAMMA(0.05f)},
    {.name = "cplrp",
     .summary = "attnlrp with constant attention matrices",
     .base = BASE_CONSTANT,
     .first = PLAIN,
     .conv = PLAIN,
     .depthwise = PLAIN,
     .linear = PLAIN},
    {.name = "cplrp_gamma",
     .summary = "attnlrp_gamma with constant attention matrices",
     .base = BASE_CONSTANT,
     .first = GAMMA(0.25f),
     .conv = GAMMA(0.25f),
     .depthwise = PLAIN,
     .linear = GAMMA(0.05f)},
    {.name = "epsilon",
     .summary = "the epsilon rule everywhere",
     .base = BASE_R,
     .first = EPSILON,
     .conv = EPSILON,
     .depthwise = EPSILON,
     .linear = EPSILON},
    {.name = "epsilon_plus",
     .summary = "z+ for convolutions, epsilon for linear layers",
     .base = BASE_R,
     .first = ZPLUS,
     .conv = ZPLUS,
     .depthwise = ZPLUS,
     .linear = EPSILON},
    {.name = "epsilon_plus_flat",
     .summary = "epsilon_plus, flat at the image",
     .base = BASE_R,
     .first = FLAT,
     .conv = ZPLUS,
     .depthwise = ZPLUS,
     .linear = EPSILON},
    {.name = "epsilon_alpha2_beta1",
     .summary = "alpha 2, beta 1 for convolutions, epsilon for linear layers",
     .base = BASE_R,
     .first = A2B1,
     .conv = A2B1,
     .depthwise = A2B1,
     .linear = EPSILON},
    {.name = "epsilon_alpha2_beta1_flat",
     .summary = "epsilon_alpha2_beta1, flat at the image",
     .base = BASE_R,
     .first = FLAT,
     .conv = A2B1,
     .depthwise = A2B1,
     .linear = EPSILON},
    {.name = "epsilon_gamma_box",
     .summary = "gamma 0.25 for convolutions, the box rule at the image, epsilon for linear layers",
     .base = BASE_R,
     .first = BOX,
     .conv = GAMMA(0.25f),
     .depthwise = GAMMA(0.25f),
     .linear = EPSILON},
    {.name = "epsilon_gamma_wsquare",
     .summary = "epsilon_gamma_box with w^2 at the image",
     .base = BASE_R,
     .first = WSQUARE,
     .conv = GAMMA(0.25f),
     .depthwise = GAMMA(0.25f),
     .linear = EPSILON},
    {.name = "sr_paper_code",
     .summary = "what the published code of salient relevance maps does",
     .base =
         {.kind = FV_SIGNAL_R, .epsilon = 1e-9f, .stabiliser = FV_STAB_PLAIN, .divide_max = true},
     .first = EPSILON,
     .conv = EPSILON,
     .depthwise = EPSILON,
     .linear = POSITIVE},
    {.name = "transformer_attribution",
     .summary = "z+ without biases, norms and softmax pass, residual branches by their sums",
     .base = {.kind = FV_SIGNAL_R,
              .epsilon = 1e-9f,
              .zero_bias = true,
              .identity_norm = true,
              .identity_softmax = true,
              .normalised_add = true},
     .first = ZPLUS,
     .conv = ZPLUS,
     .depthwise = ZPLUS,
     .linear = ZPLUS},
};

#define COMPOSITES (sizeof fv_composites / sizeof *fv_composites)

const char *const fv_composite_names[] = {"attnlrp",
                                          "attnlrp_gamma",
                                          "cplrp",
                                          "cplrp_gamma",
                                          "epsilon",
                                          "epsilon_plus",
                                          "epsilon_plus_flat",
                                          "epsilon_alpha2_beta1",
                                          "epsilon_alpha2_beta1_flat",
                                          "epsilon_gamma_box",
                                          "epsilon_gamma_wsquare",
                                          "sr_paper_code",
                                          "transformer_attribution",
                                          NULL};

const fv_composite *fv_composite_find(const char *name) {
    for (size_t i = 0; i < COMPOSITES; i++)
        if (strcmp(fv_composites[i].name, name) == 0) return &fv_composites[i];
    return NULL;
}

fv_signal_kind fv_composite_kind(const fv_composite *composite) { return composite->base.kind; }

/* ---- options ---- */

fv_composite_options fv_composite_defaults(const fv_composite *c) {
    return (fv_composite_options){.gamma_conv = c->conv.gamma,
                                  .gamma_linear = c->linear.gamma,
                                  .epsilon = c->base.epsilon,
                                  .stabiliser = c->base.stabiliser,
                                  .zero_bias = c->base.zero_bias,
                                  .constant_attention = c->base.constant_attention,
                                  .identity_norm = c->base.identity_norm,
                                  .uniform_gate = c->base.uniform_gate,
                                  .low = c->base.low,
                                  .high = c->base.high};
}

static bool ends_at_image(const fv_layer_rule *rule) {
    return rule->kind == FV_SIGNAL_R &&
           (rule->affine == FV_AFFINE_FLAT || rule->affine == FV_AFFINE_WSQUARE ||
            rule->affine == FV_AFFINE_BOX);
}

static void set_gamma(fv_layer_rule *rule, float gamma) {
    if (rule->affine == FV_AFFINE_GAMMA) rule->gamma = gamma;
}

fv_status fv_composite_make(const fv_composite *composite, const fv_composite_options *o,
                            fv_composite *out) {
    fv_composite c = *composite;

    if (!(o->gamma_conv >= 0.0f) || !(o->gamma_linear >= 0.0f))
        return FV_FAIL(FV_ERR_CONFIG, "%s: gamma is negative", c.name);
    if (!(o->epsilon > 0.0f))
        return FV_FAIL(FV_ERR_CONFIG, "%s: epsilon %g is not positive", c.name, (double)o->epsilon);
    if (ends_at_image(&c.conv) || ends_at_image(&c.depthwise) || ends_at_image(&c.linear))
        return FV_FAIL(FV_ERR_CONFIG, "%s: flat, w^2 and box may only be the first op's rule",
                       c.name);
    set_gamma(&c.first, o->gamma_conv);
    set_gamma(&c.conv, o->gamma_conv);
    set_gamma(&c.depthwise, o->gamma_conv);
    set_gamma(&c.linear, o->gamma_linear);
    c.base.epsilon = o->epsilon;
    c.base.stabiliser = o->stabiliser;
    c.base.zero_bias = o->zero_bias;
    c.base.constant_attention = o->constant_attention;
    c.base.identity_norm = o->identity_norm;
    c.base.uniform_gate = o->uniform_gate;
    c.base.low = o->low;
    c.base.high = o->high;
    *out = c;
    return FV_OK;
}

void fv_composite_box(const float mean[3], const float std[3], float low[3], float high[3]) {
    for (int c = 0; c < 3; c++) {
        low[c] = -mean[c] / std[c];
        high[c] = (1.0f - mean[c]) / std[c];
    }
}

/* ---- picking ---- */

static bool is_affine(const fv_var *y) { return y->op == &fv_op_linear || y->op == &fv_op_conv2d; }

static bool is_first(const fv_var *y) {
    for (int64_t i = 0; i < y->id; i++) {
        const fv_var *v = fv_tape_at(y->tape, i);
        if (is_affine(v) && v->needs_grad) return false;
    }
    return true;
}

static bool is_depthwise(const fv_var *y) {
    const fv_shape *w = &y->in[1]->shape;
    const int64_t C = fv_shape_last(&y->in[0]->shape);
    return y->op == &fv_op_conv2d && C > 1 && w->dim[1] == 1 && w->dim[0] == C;
}

static const fv_layer_rule *layer_rule(const fv_composite *c, const fv_var *y) {
    if (is_first(y)) return &c->first;
    if (is_depthwise(y)) return &c->depthwise;
    return y->in[1]->shape.rank == 4 ? &c->conv : &c->linear;
}

/* The batch norm that alone reads y, NULL if there is none. */
static const fv_var *norm_behind(const fv_var *y) {
    if (y->n_readers != 1) return NULL;
    for (int64_t i = y->id + 1; i < fv_tape_count(y->tape); i++) {
        const fv_var *v = fv_tape_at(y->tape, i);
        for (int k = 0; v->op && k < v->op->arity; k++)
            if (v->in[k] == y) return v->op == &fv_op_batchnorm_running ? v : NULL;
    }
    return NULL;
}

static bool folds(const fv_composite *c, const fv_var *affine) {
    return is_affine(affine) && affine->needs_grad && affine->n_readers == 1 &&
           layer_rule(c, affine)->kind == FV_SIGNAL_R;
}

/* Whether the R form is the only one of this op's rule. */
static bool needs_relevance(const fv_composite *c, const fv_var *y) {
    return (c->base.identity_norm && y->op == &fv_op_layernorm) ||
           (c->base.uniform_gate && y->op == &fv_op_sigmoid);
}

void fv_composite_pick(const fv_var *y, void *composite, fv_rule *rule) {
    const fv_composite *c = composite;

    *rule = c->base;
    if (is_affine(y)) {
        const fv_layer_rule *own = layer_rule(c, y);
        rule->kind = own->kind;
        rule->affine = own->affine;
        rule->gamma = own->gamma;
        if (own->kind == FV_SIGNAL_R) rule->folded = norm_behind(y);
    } else if (y->op->moves) {
        rule->kind = (fv_signal_kind)y->signal_kind;
    } else if (y->op == &fv_op_batchnorm_running && folds(c, y->in[0])) {
        rule->kind = FV_SIGNAL_R;
        rule->is_folded = true;
    } else if (needs_relevance(c, y)) {
        rule->kind = FV_SIGNAL_R;
    }
}
