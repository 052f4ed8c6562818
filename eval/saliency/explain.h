/* explain.h - one image, one class, one method: a relevance value per input pixel.
 *
 * A method is a const descriptor in its own file and one line in saliency_list.h.  Every method starts
 * from the class's logit (not its softmax) of a forward pass in FV_EXPLAIN, in f32, one sample per
 * gradient chunk, so that a map depends on its image alone. */
#ifndef FV_EVAL_SALIENCY_EXPLAIN_H
#define FV_EVAL_SALIENCY_EXPLAIN_H

#include "core/op.h"
#include "models/model.h"

/* Where the explained logit went. */
typedef struct fv_account {
    double start;               /* the logit */
    double input;               /* sum of the input's relevance */
    double sink[FV_SINK_COUNT]; /* what constants took; each from its own formula */
    double end_to_end;          /* |start - input - sinks| / sum |R| at the input */
    double worst_op;            /* the same per op, relative to sum |R| at its output */
    char worst_op_name[160];    /* "blocks.3.attn: softmax" */
} fv_account;

typedef struct fv_explanation {
    int64_t height, width; /* px of the model's input */
    float *relevance;      /* [H,W,3] */
    float *map;            /* [H,W], channel sums; signed */
    int64_t target;        /* explained class */
    float logit, probability;
    bool has_account; /* relevance methods */
    fv_account account;
} fv_explanation;

/* What a method's run gets: the recorded forward pass of one image. */
typedef struct fv_explain_run {
    fv_tape *tape;
    const fv_model *model;
    fv_var *x, *logits;  /* [1,H,W,3], [1,K] */
    const float *seed;   /* [1,K] one-hot of the target */
    const char *variant; /* never NULL when the method has variants */
    fv_explanation *out; /* relevance to be filled, target and logit known */
} fv_explain_run;

typedef struct fv_saliency_method {
    const char *name;
    const char *summary;
    const char *const *variants; /* NULL-terminated, the first is the default; NULL: none */
    fv_status (*run)(fv_explain_run *run);
    /* The settings behind a variant as a map in arena, to go with the result; NULL: there are none. */
    fv_value *(*parameters)(const char *variant, fv_arena *arena);
} fv_saliency_method;

/* The method of "name" or "name:variant".  FV_ERR_CONFIG lists what there is. */
fv_status fv_saliency_find(const char *text, const fv_saliency_method **method,
                           const char **variant);
const fv_saliency_method *fv_saliency_at(int i); /* in list order, NULL after the last */

/* Explains pixels [H,W,3] (normalised) for class target, -1 = the most probable one.  The caller frees
 * *out with fv_explanation_destroy.  FV_ERR_CONFIG: no such class; FV_ERR_NONFINITE: logits or
 * relevance that are not; FV_ERR_INTERNAL: a relevance ledger that does not close to
 * FV_ACCOUNT_TOLERANCE.  A map is given out with FV_OK only. */
#define FV_ACCOUNT_TOLERANCE 1e-4
fv_status fv_explain(fv_tape *tape, const fv_model *model, const float *pixels,
                     const fv_saliency_method *method, const char *variant, int64_t target,
                     fv_explanation *out);
void fv_explanation_destroy(fv_explanation *e);

/* The number reported as conservation_error: the worse of end_to_end and worst_op. */
double fv_conservation_error(const fv_account *account);

#endif
