/* relevance.h - what relevance passes are made of: signals, the ledger, and the rule of a node.
 *
 * Layer-wise relevance propagation (Bach et al. 2015) walks a tape backwards (fv_tape_relevance).  An
 * op hands what reaches its output to its inputs, by the rule that the caller picked for the node; what
 * constants take goes to named sinks, each from its own formula, so that every op's account closes. */
#ifndef FV_CORE_RELEVANCE_H
#define FV_CORE_RELEVANCE_H

#include "core/elements.h"
#include "core/tape.h"

#include <math.h>

/* GI: the signal is a modified gradient g; relevance is read off as R = a * g.
 * R:  the signal is the relevance itself. */
typedef enum fv_signal_kind { FV_SIGNAL_GI, FV_SIGNAL_R } fv_signal_kind;

typedef struct fv_signal {
    fv_signal_kind kind;
    float *data; /* f32 of the variable's shape; NULL in rx[]: not wanted (parameters, integers) */
} fv_signal;

/* ---- the ledger ---- */

/* Constants that take relevance out of the ledger.  name, what it is */
#define FV_SINK_LIST(X)       \
    X(BIAS, "bias")           \
    X(LN_BETA, "ln_beta")     \
    X(BN_SHIFT, "bn_shift")   \
    X(POS_EMBED, "pos_embed") \
    X(CLS, "cls")             \
    X(SOFTMAX, "softmax")     \
    X(EPS, "eps")             \
    X(DROP, "drop")

typedef enum fv_sink {
#define FV_X(name, text) FV_SINK_##name,
    FV_SINK_LIST(FV_X)
#undef FV_X
        FV_SINK_COUNT
} fv_sink;

extern const char *const fv_sink_names[FV_SINK_COUNT];

/* The op whose account closes worst: |out - in - sinks| / sum |R out|. */
typedef struct fv_op_error {
    double error;
    const char *op, *scope; /* valid until the next step; NULL: no op yet */
} fv_op_error;

/* Where relevance went, per sample, in double. */
struct fv_ledger {
    int64_t n_samples;
    double *sink[FV_SINK_COUNT]; /* [n_samples] each */
    double *start;               /* [n_samples]: relevance at the explained output */
    double *largest;             /* [n_samples]: max |R| over nodes.  Far above |start| (1e3), terms
                                    of opposite sign have been blown up: a larger epsilon helps */
    fv_op_error *worst;          /* [n_samples] */
    double *sums;                /* [n_samples, FV_ELEMENT_SUMS], of fv_ledger_sum */
    double *room;                /* [n_samples], of the op at hand */
    float *epsilon;              /* [n_samples], of fv_stabilise_samples */
};

/* Zeros, in the arena.  A ledger may serve several passes, whose sinks then add up. */
fv_status fv_ledger_init(fv_ledger *ledger, int64_t n_samples, fv_arena *arena);
void fv_ledger_add(fv_ledger *ledger, fv_sink sink, int64_t sample, double value);

/* fv_sum_elements over the ledger's samples; sum k of each goes to sinks[k]. */
void fv_ledger_sum(fv_ledger *ledger, int64_t n, int64_t row, fv_elements_fn *fn, void *arg,
                   const fv_sink sinks[], int n_sinks);

/* ---- rules ---- */

/* Rules of affine ops z = W x + b in R form, with p = max(x, 0), n = min(x, 0), stab as below, J(W) the
 * op's transpose.  b is left out of denominators with zero_bias.
 *     epsilon     x J(W)s, s = R / stab(z)  (Bach et al. 2015, eq. 58; LRP-0 for a tiny epsilon)
 *     zplus       s = R / stab(W+ p + W- n + b+):  p J(W+)s + n J(W-)s
 *     alpha_beta  alpha times zplus minus beta times the same of the negative products, alpha - beta = 1
 *     gamma       rows with z > 0: zplus with W + gamma W+ and W + gamma W- in place of W+ and W-, those
 *                 with z < 0: signs of the weights exchanged; rows with z = 0 pass nothing (DROP)
 *     box         s = R / stab(W x - W+ l - W- h):  x J(W)s - l J(W+)s - h J(W-)s, l <= x <= h
 *     wsquare     s = R / stab(W^2 1 + b^2):  J(W^2)s
 *     flat        s = R / stab(1 1):  J(1)s; like wsquare, zeros around a map count as absent
 *     positive    s = R / stab(W+ x):  x J(W+)s
 * (Montavon et al. 2017, "Deep Taylor decomposition", for box, wsquare and zplus; Montavon et al. 2019,
 * "LRP: an overview", for gamma.)  The relevance of box, wsquare and flat is not proportional to x, so
 * they may only be the last rule before the explained tensor. */
typedef enum fv_affine_kind {
    FV_AFFINE_EPSILON,
    FV_AFFINE_ZPLUS,
    FV_AFFINE_ALPHA_BETA,
    FV_AFFINE_GAMMA,
    FV_AFFINE_BOX,
    FV_AFFINE_WSQUARE,
    FV_AFFINE_FLAT,
    FV_AFFINE_POSITIVE,
    FV_AFFINE_COUNT
} fv_affine_kind;

/* Denominators, sgn(0) = +1. */
typedef enum fv_stab_kind {
    FV_STAB_ADD,  /* z + sgn(z) epsilon */
    FV_STAB_CLIP, /* sgn(z) max(|z|, epsilon) */
    FV_STAB_NORM, /* z + sgn(z) epsilon sqrt(mean z^2), the mean over the sample */
    FV_STAB_PLAIN /* z + epsilon */
} fv_stab_kind;

/* The rule of one node, chosen by the composite. */
struct fv_rule {
    fv_signal_kind kind; /* what the op is to work in; the tape converts at the boundary */
    float epsilon;       /* stabiliser of R rules */
    fv_stab_kind stabiliser;
    fv_affine_kind affine; /* affine ops in R form */
    float alpha, beta;     /* of alpha_beta */
    float gamma;           /* of gamma */
    bool zero_bias;
    const float *low, *high; /* of box: [3], smallest and largest value of a pixel's channels */
    const fv_var
        *folded;    /* the batch norm of running statistics that alone reads this affine op: the
                                two are one op on folded weights (R form) */
    bool is_folded; /* this batch norm is part of the op before it: R passes */
    bool constant_attention; /* CP-LRP: attention matrices take no relevance */
    bool identity_norm;      /* layer norms pass R (R form) */
    bool uniform_gate;       /* a gate takes half of the relevance, and its sigmoid passes R */
    bool identity_softmax;   /* softmax passes R (R form) */
    bool normalised_add;     /* fv_relevance_add rescales what either summand gets (R form) */
    bool divide_max;         /* max pools: x s of the winner, s = R / stab(z) (R form) */
    float *absorbed;   /* where an op with a watched parameter also writes that one's relevance,
                                [B, numel]; NULL: nowhere */
    fv_ledger *ledger; /* never NULL inside an op's relevance */
};

/* The stabiliser of one sample's n denominators. */
typedef struct fv_stabiliser {
    fv_stab_kind kind;
    float epsilon;
} fv_stabiliser;
fv_stabiliser fv_stabiliser_of(const fv_rule *rule, int64_t n, const float *z);

static inline float fv_stabilise(fv_stabiliser s, float z) {
    if (s.kind == FV_STAB_PLAIN) return z + s.epsilon;
    if (s.kind == FV_STAB_CLIP && fabsf(z) > s.epsilon) return z;
    const float base = s.kind == FV_STAB_CLIP ? 0.0f : z;
    return base + (z >= 0.0f ? s.epsilon : -s.epsilon);
}

/* The stabiliser of every sample of z [n_samples, n], whose mean squares count times scale; kept in the
 * rule's ledger. */
void fv_stabilise_samples(const fv_rule *rule, int64_t n, const float *z, float scale);

static inline fv_stabiliser fv_sample_stabiliser(const fv_rule *rule, int64_t sample) {
    return (fv_stabiliser){rule->stabiliser, rule->ledger->epsilon[sample]};
}

/* r *= a, elementwise, as R is read off a modified gradient r. */
void fv_times_activations(int64_t n, float *r, const float *a);

/* The relevance of an element a with modified gradient g.  A masked logit (-inf) counts as 0. */
static inline float fv_times_activation(float g, float a) { return isinf(a) ? 0.0f : g * a; }

/* Generic rules.  GI: the op's own vjp.  R: as named. */
typedef fv_status fv_relevance_fn(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                                  const fv_rule *rule);
fv_relevance_fn fv_relevance_epsilon; /* x * vjp(R / stab(y)); eps to the ledger */
/* y = a + b: the epsilon rule.  With normalised_add (Chefer et al. 2021, "Transformer interpretability
 * beyond attention visualization", section 3.2) the relevance R_k of each summand is then multiplied, per
 * sample, such that its sum is |sum R_k| / (|sum R_a| + |sum R_b|) sum R; the two sums no longer cancel.
 * What that changes, sum_k (1 - factor_k) sum R_k, goes to DROP. */
fv_relevance_fn fv_relevance_add;
fv_relevance_fn fv_relevance_affine;   /* inputs x, W, b over the last axis: by rule->affine */
fv_relevance_fn fv_relevance_move;     /* copies of elements: vjp of the signal itself */
fv_relevance_fn fv_relevance_identity; /* one input, same shape: R passes */
fv_relevance_fn fv_relevance_none;     /* zeros: for ops after the explained output */
fv_relevance_fn fv_relevance_refused;  /* FV_ERR_INTERNAL: ops that are not of EXPLAIN */

/* An affine op and the batch norm of running statistics behind it as one: w [numel of the weight] and
 * b [O] such that norm(affine(x)) = w x + b. */
void fv_relevance_fold(const fv_var *affine, const fv_var *norm, float *w, float *b);

/* s = R / stab(scale z) per sample; what the stabiliser takes, sum s (D - scale z), goes to the
 * ledger.  Masked z (-inf) have s = 0. */
void fv_relevance_divide(const fv_var *y, const float *r, float scale, const fv_rule *rule,
                         float *s);

#endif
