/* head_importance.h - what a network loses without one of its heads, of one image.
 *
 * A head is left out by setting its attention weights to 0 as they are computed: its output rows are then
 * 0 in front of the output projection, exactly, and the model's parameters are not touched.  (For channel
 * attention a head is a group of channels.)  With p = softmax of the logits, p' without the head, t the
 * class in question:
 *     dprob    p_t - p'_t              dloss   log p_t - log p'_t
 *     kl       KL(p || p') in nats     js      Jensen-Shannon divergence in nats
 *     cosine   1 - cos of what the classifier reads ("pre_logits")
 *     gradient |sum O dCE/dO| over the head's outputs O, CE the cross entropy of t: the first-order
 *              estimate of the loss change (Michel et al. 2019, "Are sixteen heads really better than
 *              one?"), computed as |sum A dCE/dA|, which is the same sum since O = A V */
#ifndef FV_EVAL_ANALYSIS_HEAD_IMPORTANCE_H
#define FV_EVAL_ANALYSIS_HEAD_IMPORTANCE_H

#include "eval/saliency/attention_record.h"
#include "models/model.h"

#define FV_HEAD_IMPORTANCE_LIST(X) \
    X(dprob)                       \
    X(dloss)                       \
    X(kl)                          \
    X(js)                          \
    X(cosine)                      \
    X(gradient)

typedef enum fv_head_importance_number {
#define FV_X(name) FV_IMPORTANCE_##name,
    FV_HEAD_IMPORTANCE_LIST(FV_X)
#undef FV_X
        FV_IMPORTANCE_COUNT
} fv_head_importance_number;

extern const char *const fv_head_importance_names[FV_IMPORTANCE_COUNT];

typedef struct fv_head_importance {
    double number[FV_IMPORTANCE_COUNT];
    bool right; /* the most probable class without the head is t */
} fv_head_importance;

/* The network under question, with the newest image. */
typedef struct fv_head_probe {
    fv_tape *tape; /* its watches are the probe's */
    const fv_model *model;
    int64_t max_images;         /* in one pass, at least 1 */
    fv_arena *arena;            /* of the newest image: rewound by fv_head_probe_record */
    fv_arena_mark mark;         /* to here */
    const float *pixels;        /* [H,W,3], borrowed */
    fv_attention_record record; /* of the newest image; its values are gone after another pass */
    fv_var *logits;             /* [1,K] likewise */
} fv_head_probe;

/* Records one image in FV_EXPLAIN, with attention weights and their gradients watched, and the values that
 * extra (fnmatch patterns, NULL ends, may be NULL) names. */
fv_status fv_head_probe_record(fv_head_probe *probe, const float *pixels, const char *const *extra);

/* Heads of all layers together, in which order results stand: by layer, then by head. */
int64_t fv_attention_record_heads(const fv_attention_record *record);

/* Of the recorded image, out [heads of all layers]; *right: whether the whole network's answer is
 * target.  Other passes stand on the tape afterwards, but layouts and paths of the record stay. */
fv_status fv_head_importance_of(fv_head_probe *probe, int64_t target, fv_head_importance *out,
                                bool *right);

/* The pass without heads: logits [n,K] and features [n,D] (what the classifier reads; may be NULL) of n
 * copies of the recorded image, the i-th without head[i] of layer[i]; layer -1: with all of them.  At
 * most max_images. */
fv_status fv_head_probe_without(fv_head_probe *probe, const int64_t *layer, const int64_t *head,
                                int64_t n, float *logits, float *features);

#endif
