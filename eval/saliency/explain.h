/* explain.h - images, a class each, one method: a value per pixel that says what speaks for the class.
 *
 * What is explained is a score, a weighted sum of logits: the class's logit (not its softmax), or its
 * difference to another class's, or to the mean of all others.  Forward passes are in FV_EXPLAIN, in f32,
 * one sample per gradient chunk, so that a map depends on its image alone: a batch gives the bits that
 * its images give one by one. */
#ifndef FV_EVAL_SALIENCY_EXPLAIN_H
#define FV_EVAL_SALIENCY_EXPLAIN_H

#include "core/op.h"
#include "eval/saliency/method.h"
#include "models/model.h"

/* Where the explained score went. */
typedef struct fv_account {
    double start;               /* the score */
    double input;               /* sum of the input's relevance */
    double sink[FV_SINK_COUNT]; /* what constants took; each from its own formula */
    double end_to_end;          /* |start - input - sinks| / sum |R| at the input */
    double worst_op;            /* the same per op, relative to sum |R| at its output */
    char worst_op_name[160];    /* "blocks.3.attn: softmax" */
} fv_account;

#define FV_EXPLANATION_NUMBERS 4

typedef struct fv_explanation {
    int64_t height, width; /* px of the model's input */
    float *relevance;      /* [H,W,3]; NULL unless the method gives one */
    float *map;            /* [H,W] */
    float *grid;           /* [grid_h,grid_w] as computed at a layer; NULL unless there is one */
    int64_t grid_h, grid_w;
    int64_t target;                  /* explained class */
    float logit, probability, score; /* of the class; score: what is explained */
    bool has_account;                /* relevance methods */
    fv_account account;
    /* What else the method found out: {"delta", 0.01} of integrated gradients ... */
    struct {
        const char *name;
        double value;
    } number[FV_EXPLANATION_NUMBERS];
    int n_numbers;
    bool approximate;  /* computed by a faster method than the definition */
    char warning[256]; /* "" : nothing to be warned of */
} fv_explanation;

/* fv_explain_request.against */
#define FV_AGAINST_NOTHING (-1)
#define FV_AGAINST_OTHERS  (-2) /* the mean of all other logits */

typedef struct fv_explain_request {
    const fv_saliency_choice *choice;
    const int64_t *target; /* [B] classes, -1 = the most probable; NULL: -1 for all */
    int64_t against;       /* a class, or FV_AGAINST_*; a target against itself is refused */
    uint64_t seed;         /* of methods that draw random numbers */
    int64_t max_images;    /* that a method puts into one pass of its own, 0 = 8 */
} fv_explain_request;

/* Explains pixels [B,H,W,3] (normalised).  The caller frees each of out[B] with fv_explanation_destroy.
 * FV_ERR_CONFIG: no such class or layer; FV_ERR_NONFINITE: logits or a map that are not; FV_ERR_INTERNAL:
 * a relevance ledger that does not close to FV_ACCOUNT_TOLERANCE.  Maps are given out with FV_OK only. */
#define FV_ACCOUNT_TOLERANCE 1e-4
fv_status fv_explain(fv_tape *tape, const fv_model *model, const float *pixels, int64_t B,
                     const fv_explain_request *request, fv_explanation out[]);
void fv_explanation_destroy(fv_explanation *e); /* a zeroed one is fine */

/* The number reported as conservation_error: the worse of end_to_end and worst_op. */
double fv_conservation_error(const fv_account *account);

#endif
