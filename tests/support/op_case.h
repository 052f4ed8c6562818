/* op_case.h - what the generic op tests know of each op: inputs, how to build it, and an oracle in
 * double.  Every op of fv_ops[] needs a case; several may vary attributes and sizes. */
#ifndef FV_TESTS_SUPPORT_OP_CASE_H
#define FV_TESTS_SUPPORT_OP_CASE_H

#include "core/op.h"

typedef enum op_in_kind {
    OP_X,      /* an activation, normal numbers; axis 0 is the sample, whatever dim[0] says */
    OP_PARAM,  /* a parameter */
    OP_LABELS, /* i32 classes 0..dim[1]-1, one per sample: shape [samples] */
    OP_INDEX, /* i32, different numbers below dim[rank - 2] along the last axis; axis 0 is the sample */
    OP_TARGETS, /* positive rows over the last axis; axis 0 is the sample */
} op_in_kind;

typedef struct op_in {
    op_in_kind kind;
    int rank;
    int64_t dim[FV_MAX_RANK];
    bool bf16; /* given as bf16 (or, for a parameter, rounded to it) in the bf16 run */
} op_in;

typedef fv_var *op_build_fn(fv_var *const in[]);

/* y of a batch.  The first sample has position 0 in the global batch. */
typedef void op_oracle_fn(int64_t samples, double *const in[], double *y);

/* Inputs that the shape rule must refuse. */
typedef struct op_bad {
    op_in in[FV_MAX_INPUTS];
    op_build_fn *build; /* NULL: the case's */
    fv_status status;   /* 0: FV_ERR_SHAPE */
    const char *says;   /* part of the message */
} op_bad;

typedef struct op_case {
    const char *op;      /* name in fv_ops[] */
    const char *variant; /* what tells it from the op's other cases */
    int n_in;
    op_in in[FV_MAX_INPUTS];
    op_build_fn *build;
    op_oracle_fn *oracle;
    float bf16;         /* tolerance of the bf16 run, 0: none */
    bool train_only;    /* random in FV_TRAIN: other modes compute something else */
    bool running_stats; /* the step's flag */
    bool whole_batch;   /* statistics of a pass: another result when the batch is cut into passes */
    bool composed;      /* several ops in FV_EXPLAIN */
    op_bad bad[5];      /* ends at the first without a message */
} op_case;

/* The tables, each ending with a case without op. */
extern const op_case op_cases_linear[], op_cases_conv[], op_cases_row[], op_cases_token[],
    op_cases_attention[], op_cases_routing[], op_cases_loss[], op_cases_map[], op_cases_halo[];

/* Case i over all tables, NULL after the last. */
const op_case *op_case_at(int i);

/* Whether an input holds integers. */
bool op_in_counts(const op_in *in);

/* The op that a case names. */
const fv_op *op_case_op(const op_case *c);

/* Elements of an input for a number of samples; shape gets its shape. */
int64_t op_in_shape(const op_in *in, int64_t samples, fv_shape *shape);

#endif
