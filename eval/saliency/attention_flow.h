/* attention_flow.h - attention through several layers: which of them can be composed, and how.
 *
 * Matrices over positions multiply only where the positions are the same ones.  In a network of one map
 * (ViT) that is every layer; in a pyramid the layers of the last map that has any: its stages are joined
 * by convolutions, through which no attention can be followed.  A strided attention (queries on a
 * smaller map than keys) ends the run too.  Channel attention has no matrix over positions and is left
 * out, wherever it stands. */
#ifndef FV_EVAL_SALIENCY_ATTENTION_FLOW_H
#define FV_EVAL_SALIENCY_ATTENTION_FLOW_H

#include "eval/saliency/attention_record.h"
#include "eval/saliency/explain_run.h"

typedef struct fv_attention_flow {
    const fv_attention_matrix **layer; /* [count], first to last */
    int64_t count;
    int64_t n_channel,
        n_other;        /* attentions that are left out, between channels and of other maps */
    int64_t P, H, W, T; /* of every layer: T = P + H W positions */
    float *fused, *scratch, *product; /* [T,T] */
} fv_attention_flow;

/* The layers of a record that can be composed; count 0: none.  All in arena. */
fv_status fv_attention_flow_of(const fv_attention_record *record, fv_arena *arena,
                               fv_attention_flow *out);

/* Rollout (Abnar & Zuidema 2020): R = A_L' ... A_1' with A' = (fuse_h(A) + I) / 2 and rows made to add
 * up to 1, R [T,T].  discard: the share of smallest entries of fuse_h(A) that become 0 first, but for
 * those in columns of prefix tokens. */
fv_status fv_attention_rollout(fv_attention_flow *flow, int64_t sample, fv_attention_fuse fuse,
                               double discard, float *R);

/* Rollout weighted by gradients (Chefer et al. 2021, "Generic attention-model explainability", eqs. 5
 * and 6): from R = I, for each layer R += mean_h(max(A dA, 0)) R.  Needs the recorded gradient. */
void fv_attention_gradient_rollout(fv_attention_flow *flow, int64_t sample, float *R);

/* The same with the relevance of A in place of A (Chefer et al. 2021, "Transformer interpretability
 * beyond attention visualization", eqs. 13 and 14): R += mean_h(max(R_A dA, 0)) R.  Needs both recorded. */
void fv_attention_relevance_rollout(fv_attention_flow *flow, int64_t sample, float *R);

/* What the classifier reads of a matrix over positions, on the map: grid [H,W] = the mean row of the
 * class token (and the distillation token), or, where the model pools the map, the mean row of the
 * map's positions. */
void fv_attention_readout(const fv_attention_flow *flow, const fv_model *model, const float *R,
                          float *grid);

/* Reads the record of the run and says in every image's warning what is left out.  When there is
 * nothing to compose, gives all images a grid of zeros and count 0. */
fv_status fv_attention_flow_open(fv_explain_run *run, fv_attention_flow *out);

#endif
