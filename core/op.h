/* op.h - what an op is, for the ops, the passes and those who read a tape (costs, relevance rules);
 * layers see the builders in ops.h only. */
#ifndef FV_CORE_OP_H
#define FV_CORE_OP_H

#include "core/grid.h"
#include "core/kernels/kernels.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "core/relevance.h"
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

/* ---- the descriptor ---- */
#define FV_READS_IN(i) (1u << (i))
#define FV_READS_Y     (1u << 8)

struct fv_op {
    const char *name;
    int arity;        /* inputs, optional ones included */
    uint32_t params;  /* bit i: input i is a parameter */
    uint32_t reads;   /* what backward reads: FV_READS_IN(i), FV_READS_Y (saved[] always lives) */
    uint32_t absorbs; /* bit i: parameter i takes relevance that can be kept (fv_rule.absorbed) */
    size_t attr_bytes;
    /* bit i: dx_i is dy.  Where it can be, dy is handed over without a copy, and backward is not
     * asked for that dx_i (data NULL). */
    uint32_t passes;
    /* y is in[0] in another shape: one buffer that lives as long as either is read (a use of y counts
     * as one of in[0]), and no forward. */
    bool alias;
    /* y holds copies of its inputs' elements, and zeros: signals of either kind move alike. */
    bool moves;
    /* y is chosen, not computed (indices): inputs get no gradient and no relevance from it, and there is
     * no backward. */
    bool constant;
    /* Checks inputs and attr; sets y->shape and y->dtype, declares y->saved[i].{shape,dtype}. */
    fv_status (*shape)(fv_var *y);
    fv_status (*forward)(fv_var *y);
    /* A pure vector-Jacobian product; dy has y's shape (f32, or bf16 for a bf16 y with one reader). */
    fv_status (*backward)(const fv_var *y, const fv_tensor *dy, fv_grad dx[]);
    /* Writes y again, bit for bit, from the inputs in restore_reads (parameters are at hand) and saved[], at
     * about the price of a pass over memory: training may forget y between its passes.  Runs at most
     * once per step, so that it may leave in saved[] what backward then reads (y->restored) instead; y
     * may want no gradient.  NULL: y stays while it will be read. */
    fv_status (*restore)(fv_var *y);
    uint32_t restore_reads; /* FV_READS_IN(i) */
    /* Fills the wanted rx[] (overwrites); ry has the kind the rule asks for, rx the same kind.  Inputs
     * and outputs are f32. */
    fv_relevance_fn *relevance;
    fv_cost (*cost)(const fv_var *y);
};

/* Applies an op: copies attr, runs the shape rule, allocates and computes.  in has op->arity entries,
 * the first never NULL.  Never returns NULL. */
fv_var *fv_apply(const fv_op *op, fv_var *const in[], const void *attr);

/* Generic costs. */
fv_cost fv_cost_elementwise(const fv_var *y);

/* All registered ops, for tests and fovea info. */
extern const fv_op *const fv_ops[];
extern const int fv_ops_count;

#endif
