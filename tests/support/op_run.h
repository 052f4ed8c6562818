/* op_run.h - runs an op case: inputs from counter-based random numbers, one or several passes over the
 * batch, values and gradients out. */
#ifndef FV_TESTS_SUPPORT_OP_RUN_H
#define FV_TESTS_SUPPORT_OP_RUN_H

#include "tests/support/op_case.h"

/* A batch of a case.  Everything but the parameter slabs lives in the arena. */
typedef struct op_data {
    const op_case *c;
    fv_arena arena;
    fv_params params;
    int64_t samples;
    bool bf16;
    fv_param *param[FV_MAX_INPUTS]; /* NULL for other inputs */
    fv_tensor in[FV_MAX_INPUTS];    /* as the op gets them; empty for parameters */
    double *in64[FV_MAX_INPUTS];    /* the same values for the oracle */
    int64_t numel[FV_MAX_INPUTS], n_y;
    float *dy;
} op_data;

fv_status op_data_create(const op_case *c, int64_t samples, bool bf16, op_data *out);
void op_data_destroy(op_data *d);

/* The oracle's y, in the arena. */
double *op_data_oracle(op_data *d);

typedef struct op_settings {
    fv_mode mode;
    int64_t chunk; /* samples, 0: one chunk */
    int64_t pass;  /* samples, 0: one pass */
    bool add;      /* another reader has already put something into the activations' gradients */
    uint32_t scribble; /* FV_READS_* bits: spoil these between forward and backward */
    bool forget;       /* y, where its op can restore it, before it is read */
} op_settings;

/* In the data's arena; gradients without what op_settings.add put in first. */
typedef struct op_result {
    float *y;
    float *dx[FV_MAX_INPUTS]; /* NULL for labels, and for parameters outside of FV_TRAIN */
} op_result;

fv_status op_run(op_data *d, const op_settings *settings, op_result *out);

/* Relevance of the whole batch, started from dy. */
typedef struct op_relevance {
    float *rx[FV_MAX_INPUTS]; /* of activations */
    fv_ledger ledger;
    float *y;
} op_relevance;

fv_status op_run_relevance(op_data *d, const fv_rule *rule, op_relevance *out);

/* What the reader that comes first with op_settings.add gives to element i of input k. */
float op_first_gradient(int k, int64_t i);

#endif
