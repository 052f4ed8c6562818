/* explain_run.h - what a method's prepare and run get, and what they may ask for.
 *
 * When run is called the forward pass of the B images is recorded on the tape with the watches that
 * prepare registered.  Passes of the method's own (fv_explain_record, fv_explain_logits) replace that
 * record: afterwards run->x and run->logits are those of the newest fv_explain_record. */
#ifndef FV_EVAL_SALIENCY_EXPLAIN_RUN_H
#define FV_EVAL_SALIENCY_EXPLAIN_RUN_H

#include "eval/saliency/explain.h"

#define FV_EXPLAIN_MAX_LAYERS 64

struct fv_explain_run {
    fv_tape *tape;
    const fv_model *model;
    const fv_saliency_choice *choice;
    const char *layers[FV_EXPLAIN_MAX_LAYERS]; /* tap names of choice->layer or the default */
    int n_layers;
    int64_t B, H, W, K;
    const float *pixels;   /* [B,H,W,3] */
    const int64_t *target; /* [B] */
    const float *weight;   /* [B,K]: score = sum weight * logits */
    uint64_t seed;
    int64_t max_images;
    fv_var *x, *logits; /* [n,H,W,3], [n,K] of the recorded pass */
    fv_explanation
        *out;        /* [B]: target, logit, probability and score are known, what the kind of the
                            method says has room (a grid: fv_explanation_grid) */
    fv_arena *arena; /* until the end of the explanation */
};

/* ---- passes ---- */

/* Records the EXPLAIN pass of n images [n,H,W,3], which must live until the next one. */
fv_status fv_explain_record(fv_explain_run *run, const float *pixels, int64_t n);

/* The gradient of sum(weight * logits), weight [n,K], of the recorded pass: run->x->grad and the
 * gradient of watched variables (and of parameters, when the model keeps gradients). */
fv_status fv_explain_backward(fv_explain_run *run, const float *weight);

/* Logits [n,K] of n images, in INFER passes of at most run->max_images. */
fv_status fv_explain_logits(fv_explain_run *run, const float *pixels, int64_t n, float *logits);

/* The score of one image's logits [K], for image b; and softmax(logits)[target], in double. */
double fv_explain_score(const fv_explain_run *run, int64_t b, const float *logits);
double fv_explain_probability(const fv_explain_run *run, int64_t b, const float *logits);

/* ---- layers ---- */

/* A tapped activation as a map: position u of sample b starts at value + ((b * rows) + skip + u) * C. */
typedef struct fv_node {
    int64_t B, h, w, C;
    int64_t rows;       /* per sample: skip + h w */
    int64_t skip;       /* prefix tokens in front of the grid */
    const float *value; /* NULL when it was not watched */
    const float *grad;  /* NULL when it was not watched or has no gradient */
    const fv_var *var;
} fv_node;

/* Watches every layer of the run (FV_WATCH_*): for prepare. */
fv_status fv_explain_watch_layers(fv_explain_run *run, uint32_t what);

/* The node under a tap name in the recorded pass.  FV_ERR_CONFIG: there is none, or it is no map (an
 * attention matrix, windows); the message lists the model's features. */
fv_status fv_explain_node(const fv_explain_run *run, const char *name, fv_node *out);

/* Puts into the run the tap names that `text` stands for, joined by '+': a name, "@last" the last
 * feature, "@before_last" the one before it, "@first_stage" the output of the first stage, "@early_norm1"
 * the norm in front of the mixer of the block at a quarter of the depth, "@stages" the outputs of all
 * stages (of all blocks, where there are none), "@blocks", "@first_conv" the layer that reads pixels.
 * fv_explain does it before prepare. */
fv_status fv_explain_resolve_layers(fv_explain_run *run, const char *text);

/* ---- results ---- */

/* Room for a grid [h,w] in e, zeroed; NULL when memory runs out (the message is set). */
float *fv_explanation_grid(fv_explanation *e, int64_t h, int64_t w);

/* Adds a named number; name is borrowed. */
void fv_explanation_number(fv_explanation *e, const char *name, double value);

/* Sets the warning; the first one stays. */
void fv_explanation_warn(fv_explanation *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
