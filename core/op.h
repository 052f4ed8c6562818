/* op.h - what an op is, for the ops, the passes and those who read a tape (costs, relevance rules);
 * layers see the builders in ops.h only. */
#ifndef FV_CORE_OP_H
#define FV_CORE_OP_H

#include "core/grid.h"
#include "core/kernels/kernels.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "core/tape.h"
#include "core/tree.h"

#include <math.h>

/* Where the gradient of one input goes.  data NULL: nobody wants it.  Parameters (input i with bit i
 * of fv_op.params) get a tree: their gradient is handed over chunk by chunk (tree.h), data is NULL. */
typedef struct fv_grad {
    void *data;
    fv_dtype dtype; /* f32; bf16 for a bf16 variable with one reader */
    bool add;       /* add to what is there (f32 only), else write every element */
    const fv_tree *tree;
} fv_grad;

/* Stores n f32 values at element offset of a non-parameter gradient, converting or adding. */
void fv_grad_store(const fv_grad *g, int64_t offset, int64_t n, const float *values);

typedef struct fv_cost {
    double macs;  /* multiply-accumulates of convolutions, linear layers and attention products */
    double bytes; /* read and written by forward, parameters included */
} fv_cost;

/* ---- relevance (saliency) ----
 * GI: the signal is a modified gradient g; relevance is read off as R = a * g.
 * R:  the signal is the relevance itself. */
typedef enum fv_signal_kind { FV_SIGNAL_GI, FV_SIGNAL_R } fv_signal_kind;

typedef struct fv_signal {
    fv_signal_kind kind;
    float *data; /* f32 of the variable's shape; NULL in rx[]: not wanted (parameters, integers) */
} fv_signal;

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

/* Where relevance went, per sample, in double. */
struct fv_ledger {
    int64_t n_samples;
    double *sink[FV_SINK_COUNT]; /* [n_samples] each */
    double worst_op;             /* largest |out - in - sinks| / sum |R out| over ops and samples */
    const char *worst_op_name;
    const char *worst_op_scope;
};

/* The rule of one node, chosen by the composite. */
struct fv_rule {
    fv_signal_kind kind;     /* what the op is to work in; the tape converts at the boundary */
    float epsilon;           /* stabiliser of R rules */
    float gamma;             /* gamma rule of affine ops, 0 = none */
    bool constant_attention; /* CP-LRP: attention matrices take no relevance */
    fv_ledger *ledger;       /* never NULL inside an op's relevance */
};

void fv_ledger_add(fv_ledger *ledger, fv_sink sink, int64_t sample, double value);

/* ---- the descriptor ---- */
#define FV_READS_IN(i) (1u << (i))
#define FV_READS_Y     (1u << 8)

struct fv_op {
    const char *name;
    int arity;       /* inputs, optional ones included */
    uint32_t params; /* bit i: input i is a parameter */
    uint32_t reads;  /* what backward reads: FV_READS_IN(i), FV_READS_Y (saved[] always lives) */
    size_t attr_bytes;
    /* y is in[0] in another shape: one buffer that lives as long as either is read (a use of y counts
     * as one of in[0]), and no forward.  The gradient is handed over without a copy where it can be. */
    bool alias;
    /* y is chosen, not computed (indices): inputs get no gradient and no relevance from it, and there is
     * no backward. */
    bool constant;
    /* Checks inputs and attr; sets y->shape and y->dtype, declares y->saved[i].{shape,dtype}. */
    fv_status (*shape)(fv_var *y);
    fv_status (*forward)(fv_var *y);
    /* A pure vector-Jacobian product; dy has y's shape (f32, or bf16 for a bf16 y with one reader). */
    fv_status (*backward)(const fv_var *y, const fv_tensor *dy, fv_grad dx[]);
    /* Fills the wanted rx[] (overwrites); ry has the kind the rule asks for, rx the same kind.  Inputs
     * and outputs are f32. */
    fv_status (*relevance)(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                           const fv_rule *rule);
    fv_cost (*cost)(const fv_var *y);
};

/* Applies an op: copies attr, runs the shape rule, allocates and computes.  in has op->arity entries,
 * the first never NULL.  Never returns NULL. */
fv_var *fv_apply(const fv_op *op, fv_var *const in[], const void *attr);

/* Generic relevance rules (core/relevance.c).  GI: the op's own vjp.  R: as named. */
fv_status
fv_relevance_epsilon(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                     const fv_rule *rule); /* x * vjp(R / (y +- eps)); eps to the ledger */
fv_status fv_relevance_affine(
    const fv_var *y, const fv_signal *ry, fv_signal rx[],
    const fv_rule *rule); /* inputs x, W, b over the last axis: epsilon, and b's part */
fv_status fv_relevance_move(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                            const fv_rule *rule); /* copies of elements: vjp of the signal itself */
fv_status fv_relevance_identity(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                                const fv_rule *rule); /* one input, same shape: R passes */
fv_status fv_relevance_none(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                            const fv_rule *rule); /* zeros: for ops after the explained output */

/* sgn(z) with sgn(0) = +1, times eps, added to z */
static inline float fv_stab(float z, float eps) { return z + (z >= 0.0f ? eps : -eps); }

/* The relevance of an element a with modified gradient g.  A masked logit (-inf) counts as 0. */
static inline float fv_times_activation(float g, float a) { return isinf(a) ? 0.0f : g * a; }

/* Generic costs. */
fv_cost fv_cost_elementwise(const fv_var *y);

/* All registered ops, for tests and fovea info. */
extern const fv_op *const fv_ops[];
extern const int fv_ops_count;

#endif
